package blob

import (
	"context"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// Content is what a store has opened of a blob, for NewReader.
type Content struct {
	// ReaderAt reads as the blob; one that has WriteFrames makes the Reader Framed. It
	// is used by one goroutine at a time.
	io.ReaderAt
	Digest james.Digest
	Size   int64 // bytes
	// Failed says what an error of ReaderAt means, io.EOF before Size among them.
	Failed func(err error) error
	// Close, where set, releases it. It is called once.
	Close func() error
}

// NewReader returns the Reader of a content, which ends with ctx.
func NewReader(ctx context.Context, c Content) Reader {
	r := &reader{ctx: ctx, content: c}
	if frames, ok := c.ReaderAt.(framer); ok {
		return &framed{r, frames}
	}
	return r
}

// framer is what Framed has more than Reader.
type framer interface{ WriteFrames(w io.Writer) error }

type reader struct {
	ctx     context.Context
	content Content
	pos     int64
	closed  bool
}

// check returns why nothing can be read any more, or nil.
func (r *reader) check() error {
	if r.closed {
		return james.Errorf(james.KindInternal, Subject(r.content.Digest), "read after its close") // a defect of the caller
	}
	return Interrupted(r.ctx, Subject(r.content.Digest))
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.check(); err != nil {
		return 0, err
	}
	if r.pos >= r.content.Size {
		return 0, io.EOF
	}
	n, err := r.content.ReadAt(p[:min(int64(len(p)), r.content.Size-r.pos)], r.pos)
	r.pos += int64(n)
	if n > 0 || err == nil {
		return n, nil // an error comes again with the next call
	}
	return 0, r.content.Failed(err)
}

// Seek fails with james.KindInvalid for a position before the start; one after the end
// is allowed.
func (r *reader) Seek(offset int64, whence int) (int64, error) {
	if r.closed {
		return 0, r.check()
	}
	pos := offset
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		pos += r.pos
	case io.SeekEnd:
		pos += r.content.Size
	default:
		return 0, james.Errorf(james.KindInvalid, "seek", "%d is no whence", whence)
	}
	if pos < 0 {
		return 0, james.Errorf(james.KindInvalid, "seek", "the position %d is before the start", pos)
	}
	r.pos = pos
	return pos, nil
}

func (r *reader) Size() int64 { return r.content.Size }

func (r *reader) Close() error {
	if r.closed || r.content.Close == nil {
		r.closed = true
		return nil
	}
	r.closed = true
	return r.content.Close()
}

type framed struct {
	*reader
	frames framer
}

func (r *framed) WriteFrames(w io.Writer) error {
	if err := r.check(); err != nil {
		return err
	}
	if err := r.frames.WriteFrames(until{r.reader, w}); err != nil {
		return r.content.Failed(err)
	}
	return nil
}

// until is a writer that fails once nothing can be read any more.
type until struct {
	r *reader
	io.Writer
}

func (u until) Write(p []byte) (int, error) {
	if err := u.r.check(); err != nil {
		return 0, err
	}
	return u.Writer.Write(p)
}
