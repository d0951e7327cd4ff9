package supply

import (
	"context"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/pkg/james"
)

// A patch in the cache is a byte that says whether it is used, and then, if it is,
// a batch of it alone, compressed.
const (
	useless byte = '-' // it would save too little
	useful  byte = '+'
)

// maxKept bounds the batch of a patch, in bytes: a patch that is larger saves
// nothing that would be worth its memory.
const maxKept = 256 << 20

// files are two contents, of which one is to be made of the other.
type files struct{ old, new *james.Entry }

func (f files) key() string {
	return "patch " + version + " " + f.old.Digest.String() + " " + f.new.Digest.String()
}

// patchSize returns how many bytes the patch takes in the cache. It reports whether
// it was made, and that it is not used with a size of 0.
func (s *Supply) patchSize(ctx context.Context, f files) (size int64, made bool) {
	e, ok := s.cache.Open(ctx, f.key())
	if !ok {
		return 0, false
	}
	defer e.Close()
	n, whole := e.Size()
	var first [1]byte
	if !whole {
		return 0, false
	}
	if _, err := io.ReadFull(e, first[:]); err != nil {
		return 0, false
	}
	if first[0] != useful {
		return 0, true
	}
	return n - 1, true
}

// patch returns a patch that was made, or nil where there is none.
func (s *Supply) patch(ctx context.Context, f files) *delta.Patch {
	e, ok := s.cache.Open(ctx, f.key())
	if !ok {
		return nil
	}
	defer e.Close()
	var first [1]byte
	if _, whole := e.Size(); !whole {
		return nil
	}
	if _, err := io.ReadFull(e, first[:]); err != nil || first[0] != useful {
		return nil
	}
	p, err := decodePatch(e)
	if err != nil || p.Size() != f.new.Size {
		s.log.WithField("file", f.new.Path).WithError(err).Warn("a patch in the cache cannot be read, all of the file is sent")
		return nil
	}
	return p
}

// encodePatch returns a patch so that decodePatch can read it.
func encodePatch(p *delta.Patch) ([]byte, error) {
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return z.EncodeAll(delta.AppendBatch(nil, []*delta.Patch{p}), nil), nil
}

func decodePatch(r io.Reader) (*delta.Patch, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	raw, err := io.ReadAll(io.LimitReader(z, maxKept+1))
	if err != nil {
		return nil, err
	}
	all, err := delta.DecodeBatch(raw)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, james.Errorf(james.KindCorrupt, "patch", "there are %d in one entry", len(all))
	}
	return all[0], nil
}
