package supply

import (
	"cmp"
	"context"
	"errors"
	"io"
	"runtime/debug"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// Limits of making one patch. What is beyond them goes out whole.
const (
	maxPatched  = 512 << 20 // bytes of a content
	patchTime   = 3 * time.Minute
	patchMemory = 128 << 20 // bytes of the index of the base
)

// worth is the part of a content, as it is kept and sent without a patch, that a
// patch may take at most; one that would save less is not used.
const worth = 0.8

// work is what is left to make of a pair of packets.
type work struct {
	pair
	files []files // the largest first
}

// makePatches makes the patches of the most urgent pair, one after the other, until
// another pair is more urgent, all are made, or ctx is done. It reports whether there
// was anything to do.
func (s *Supply) makePatches(ctx context.Context, w *work) (*work, bool) {
	p, ok := s.queue.next()
	if !ok {
		return nil, false
	}
	if w == nil || w.pair != p {
		w = s.begin(ctx, p)
	}
	if len(w.files) == 0 {
		if ctx.Err() == nil {
			s.queue.finish(p)
		}
		return nil, true
	}
	f := w.files[0]
	w.files = w.files[1:]
	s.makePatch(ctx, p, f)
	return w, true
}

// begin finds the files of a pair whose patches are not there.
func (s *Supply) begin(ctx context.Context, p pair) *work {
	w := &work{pair: p}
	if s.hasContents(p.old) != nil || s.hasContents(p.new) != nil {
		return w
	}
	bases, old, new, err := s.pair(ctx, p)
	if err != nil {
		return w
	}
	for at, places := range bases {
		for _, from := range places {
			f := files{&old.Entries[from], &new.Entries[at]}
			if _, made := s.patchSize(ctx, f); !made {
				w.files = append(w.files, f)
			}
		}
	}
	slices.SortFunc(w.files, func(a, b files) int {
		return cmp.Or(cmp.Compare(b.new.Size, a.new.Size), cmp.Compare(a.key(), b.key()))
	})
	return w
}

// makePatch makes a patch and keeps it, or that it is not worth it. After an error,
// which is about the contents or the cache, it is tried again when somebody asks.
func (s *Supply) makePatch(ctx context.Context, p pair, f files) {
	packed, err := s.try(ctx, f)
	s.doubt(ctx, err, p.old, f.old)
	s.doubt(ctx, err, p.new, f.new)
	if err == nil {
		err = s.keepPatch(ctx, f, packed)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.counters.failed.Add(1)
		s.log.WithFields(logrus.Fields{"file": f.new.Path.String(), "from": f.old.Digest.Short(), "to": f.new.Digest.Short()}).
			WithError(err).WithField("kind", james.KindOf(err)).Warn("patch not made")
	case packed == nil:
		s.counters.useless.Add(1)
	default:
		s.counters.patches.Add(1)
		s.counters.patchBytes.Add(uint64(len(packed)))
	}
}

func (s *Supply) keepPatch(ctx context.Context, f files, packed []byte) error {
	content := []byte{useless}
	if packed != nil {
		content = append([]byte{useful}, packed...)
	}
	e, err := s.cache.Fill(ctx, f.key(), func(_ context.Context, w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Wait()
}

// try does what worthwhile does. Whatever is wrong with two contents, also that one of
// them cannot be read any more where it is mapped, is a failure of their patch alone.
func (s *Supply) try(ctx context.Context, f files) (packed []byte, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			packed, err = nil, james.Errorf(james.KindInternal, "patch", "making it panicked: %v", p)
		}
	}()
	return s.worthwhile(ctx, f)
}

// worthwhile returns a patch, compressed, or nil where it would save too little or
// cannot be made within the limits.
func (s *Supply) worthwhile(ctx context.Context, f files) ([]byte, error) {
	if f.old.Size > maxPatched || f.new.Size > maxPatched {
		return nil, nil
	}
	packed, err := s.delta(ctx, f)
	if packed == nil || err != nil {
		return nil, err
	}
	whole, err := s.packedSize(ctx, f.new)
	if err != nil || float64(len(packed)) > worth*float64(whole) {
		return nil, err
	}
	return packed, nil
}

// packedSize returns about how many bytes a content takes in a stream.
func (s *Supply) packedSize(ctx context.Context, file *james.Entry) (int64, error) {
	r, err := s.content(ctx, file, 0)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	var n counter
	z, err := zstd.NewWriter(&n, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(stream.Window))
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(z, r)
	return int64(n), errors.Join(err, z.Close())
}

// counter counts what is written to it.
type counter int64

func (c *counter) Write(p []byte) (int, error) {
	*c += counter(len(p))
	return len(p), nil
}

// delta returns a patch, compressed, or nil where it takes too long.
func (s *Supply) delta(ctx context.Context, f files) ([]byte, error) {
	old, err := s.load(ctx, f.old)
	if err != nil {
		return nil, err
	}
	defer old.free()
	new, err := s.load(ctx, f.new)
	if err != nil {
		return nil, err
	}
	defer new.free()
	limited, cancel := context.WithTimeout(ctx, patchTime)
	defer cancel()
	p, err := delta.Make(limited, old.bytes, new.bytes, delta.Limits{MaxMemory: patchMemory})
	switch {
	case err != nil && ctx.Err() == nil && limited.Err() != nil:
		return nil, nil
	case err != nil:
		return nil, err
	case p.Encoded() > maxKept:
		return nil, nil
	}
	return encodePatch(p)
}
