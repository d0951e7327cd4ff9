package supply

import (
	"context"
	"crypto/sha256"
	"io"
	"strings"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// form is a way to compress a stream.
type form struct {
	name    string // part of the key
	options stream.Options
	stored  bool // contents go out as they are kept, where that is compressed
}

// stored and quick are for a device that waits, small and tiny are for many devices.
var (
	stored = form{"stored", stream.Options{Codec: stream.Zstd, Level: stream.Fast}, true}
	quick  = form{"quick", stream.Options{Codec: stream.Zstd, Level: stream.Fast}, false}
	small  = form{"small", stream.Options{Codec: stream.Zstd, Level: stream.Best}, false}
	tiny   = form{"tiny", stream.Options{Codec: stream.XZ, Level: stream.Best}, false}
)

// formsFor returns the forms that may answer a request, the smallest first. The last
// one is made for a device that waits.
func formsFor(req *james.BlobsRequest) []form {
	switch {
	case req.Fast:
		return []form{small, quick, stored}
	case req.XZ:
		return []form{tiny, small, quick}
	}
	return []form{small, quick}
}

// atOnce returns the form that is made for a device that waits.
func atOnce(req *james.BlobsRequest) form {
	all := formsFor(req)
	return all[len(all)-1]
}

// maxWaiting bounds the streams that wait for their turn: who asked for one may have
// gone long since.
const maxWaiting = 1000

// produce writes the stream of an order, when it is its turn.
func (s *Supply) produce(ctx context.Context, o *order, f form, w io.Writer) error {
	if s.waiting.Add(1) > s.maxWaiting {
		s.waiting.Add(-1)
		return james.Errorf(james.KindUnavailable, "stream", "%d others are to be made before it, which is the limit", s.maxWaiting)
	}
	select {
	case s.makers <- struct{}{}:
		s.waiting.Add(-1)
		defer func() { <-s.makers }()
	case <-ctx.Done():
		s.waiting.Add(-1)
		return james.Errorf(james.KindInterrupted, "stream", "%w", context.Cause(ctx))
	}
	return s.write(ctx, o, f, w)
}

func (s *Supply) write(ctx context.Context, o *order, f form, w io.Writer) error {
	out, err := stream.NewWriter(w, f.options)
	if err != nil {
		return err
	}
	for i := range o.items {
		if err := s.writeItem(ctx, o, &o.items[i], f, out); err != nil {
			out.Close()
			return err
		}
	}
	return out.Close()
}

func (s *Supply) writeItem(ctx context.Context, o *order, it *item, f form, out *stream.Writer) error {
	if it.base != nil {
		// Where it is not there any more, all of the content is as good.
		if p := s.patch(ctx, files{it.base.file, o.file(it)}); p != nil {
			head := o.head(it)
			head.Base = &stream.Base{Have: it.base.have, Entry: it.base.entry}
			return out.Patch(head, p.From(it.offset))
		}
	}
	err := s.writeWhole(ctx, o, it, f, out)
	s.doubt(ctx, err, o.req.Packets[it.packet].Packet, o.file(it))
	return err
}

// head returns what stands before an item that comes whole.
func (o *order) head(it *item) stream.Head {
	return stream.Head{Packet: it.packet, Entry: it.entry, Offset: it.offset, Size: o.file(it).Size - it.offset}
}

// writeWhole writes a content as it is. One that a device has not got as a patch may
// have come to it as something else, so it is compared with its digest.
func (s *Supply) writeWhole(ctx context.Context, o *order, it *item, f form, out *stream.Writer) error {
	file, head := o.file(it), o.head(it)
	content, err := s.content(ctx, file, it.offset)
	if err != nil {
		return err
	}
	defer content.Close()
	framed, ok := content.(blob.Framed)
	switch {
	case it.whole && it.offset == 0:
	case ok && f.stored && it.offset == 0:
		return out.Frames(head, framed.WriteFrames)
	default:
		return out.Whole(head, content)
	}
	sum := sha256.New()
	err = out.Whole(head, io.TeeReader(content, sum))
	if err == nil && james.Digest(sum.Sum(nil)) != file.Digest {
		err = unlike(file)
	}
	return err
}

// unlike is the error of a content that is stored as something else.
func unlike(file *james.Entry) error {
	return james.Errorf(james.KindCorrupt, "content "+file.Digest.Short(), "reads as something else")
}

// doubt has a content looked at that could not be read.
func (s *Supply) doubt(ctx context.Context, err error, packet james.Digest, file *james.Entry) {
	switch james.KindOf(err) {
	case james.KindCorrupt, james.KindNotFound:
	default:
		return
	}
	if err := s.fleet.Doubt(ctx, packet, file.Digest); err != nil && ctx.Err() == nil {
		s.log.WithError(err).WithField("kind", james.KindOf(err)).Warn("a content that cannot be read stays as it is")
	}
}

// content returns the content of a file from offset on.
func (s *Supply) content(ctx context.Context, file *james.Entry, offset int64) (io.ReadCloser, error) {
	if file.Size == offset {
		return io.NopCloser(strings.NewReader("")), nil
	}
	r, err := s.fleet.OpenContent(ctx, file.Digest)
	if err != nil {
		return nil, err
	}
	if _, err := r.Seek(offset, io.SeekStart); err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}
