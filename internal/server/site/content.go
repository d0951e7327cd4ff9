package site

import (
	"context"
	"io"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// Content is something that a device asked for. It is for one goroutine.
type Content struct {
	head
	entry *cache.Entry
	base  int64 // where its bytes begin in the entry
	pos   int64
	// reopen returns the same content anew.
	reopen func() (*Content, error)
	again  bool // it was reopened

	pass *passage // in place of entry
}

// newContent takes over the entry.
func newContent(e *cache.Entry) (*Content, error) {
	h, base, err := readHead(e)
	if err == nil {
		_, err = e.Seek(base, io.SeekStart)
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return &Content{head: h, entry: e, base: base}, nil
}

// ETag names the bytes, as jamesd does.
func (c *Content) ETag() string { return c.head.ETag }

// Size returns how many bytes there are, and whether that is all. Of a content whose
// size jamesd has told they may be still on their way.
func (c *Content) Size() (n int64, whole bool) {
	switch {
	case c.head.Size >= 0:
		return c.head.Size, true
	case c.pass != nil:
		return c.pass.at, c.pass.ended
	}
	n, whole = c.entry.Size()
	return n - c.base, whole
}

// Read returns what has arrived, and waits where nothing has. Where the cache's disk
// has damaged it, it is fetched again.
func (c *Content) Read(p []byte) (int, error) {
	if c.pass != nil {
		n, err := c.pass.read(p, c.pos)
		c.pos += int64(n)
		return n, err
	}
	n, err := c.entry.Read(p)
	c.pos += int64(n)
	if james.KindOf(err) != james.KindCorrupt || c.again || c.reopen == nil {
		return n, err
	}
	if err := c.renew(); err != nil {
		return n, err
	}
	return c.Read(p)
}

// renew takes the place of a damaged entry.
func (c *Content) renew() error {
	next, err := c.reopen()
	if err != nil {
		return err
	}
	if next.head.ETag != c.head.ETag {
		next.Close()
		return james.Errorf(james.KindUnavailable, "stream", "it was damaged, and jamesd has it no more")
	}
	c.entry.Close()
	c.entry, c.base, c.head, c.again = next.entry, next.base, next.head, true
	_, err = c.Seek(c.pos, io.SeekStart)
	return err
}

// Seek implements io.Seeker. Seeking from the end waits for it.
func (c *Content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += c.pos
	case io.SeekEnd:
		end, err := c.end()
		if err != nil {
			return 0, err
		}
		offset += end
	default:
		return 0, james.Errorf(james.KindInvalid, "seek", "%d is no whence", whence)
	}
	if offset < 0 {
		return 0, james.Errorf(james.KindInvalid, "seek", "the position %d is before the start", offset)
	}
	c.pos = offset
	if c.entry == nil {
		return offset, nil
	}
	_, err := c.entry.Seek(c.base+offset, io.SeekStart)
	return offset, err
}

func (c *Content) end() (int64, error) {
	if c.head.Size >= 0 {
		return c.head.Size, nil
	}
	if c.entry == nil {
		return 0, james.Errorf(james.KindInvalid, "seek", "the end is not known yet")
	}
	err := c.entry.Wait()
	n, _ := c.Size()
	return n, err
}

// Close lets go of the content.
func (c *Content) Close() error {
	if c.pass != nil {
		return c.pass.hangUp()
	}
	return c.entry.Close()
}

// passage is an answer of jamesd that is not kept. A link that breaks is the
// device's to see: it goes on from where it is.
type passage struct {
	s    *Site
	ctx  context.Context
	open from
	body io.ReadCloser // nil while there is no connection
	at   int64         // of its next byte
	last byte          // the one before, where that was all that was read
	back bool          // last may be read again

	ended bool // there is nothing at at, nor after it
}

func (p *passage) read(b []byte, pos int64) (int, error) {
	if p.body != nil && p.back && p.at == pos+1 {
		b[0] = p.last // somebody looked whether it is there
		return 1, nil
	}
	if p.body != nil && p.at != pos {
		p.hangUp()
	}
	if p.body == nil {
		body, err := p.open(p.ctx, pos)
		if err = p.s.link.note(err); err != nil {
			return 0, err
		}
		p.body, p.at = body, pos
	}
	n, err := p.body.Read(b)
	p.at += int64(n)
	p.s.bytes.Add(int64(n))
	if p.back = n == 1; p.back {
		p.last = b[0]
	}
	p.ended = err == io.EOF
	return n, err
}

func (p *passage) hangUp() error {
	if p.body == nil {
		return nil
	}
	err := p.body.Close()
	p.body = nil
	return err
}

// through returns a content that is not kept.
func (s *Site) through(ctx context.Context, h head, open from) *Content {
	s.passed.Add(1)
	return &Content{head: h, pass: &passage{s: s, ctx: ctx, open: open}}
}

// goOn returns the stream of that ETag, from wherever it is read first.
func (s *Site) goOn(ctx context.Context, central Central, req james.BlobsRequest, etag string) *Content {
	return s.through(ctx, head{etag, -1}, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		body, err := central.Blobs(ctx, req, etag, offset)
		if err != nil {
			return nil, err
		}
		return body, nil
	})
}

// begin returns a stream that is not kept.
func (s *Site) begin(ctx context.Context, central Central, req james.BlobsRequest) (*Content, error) {
	body, err := central.Blobs(ctx, req, "", 0)
	if err = s.link.note(err); err != nil {
		return nil, err
	}
	c := s.goOn(ctx, central, req, body.ETag)
	c.head.Size = body.Size
	c.pass.body = body
	return c, nil
}
