package api

import (
	"io"
	"time"

	"github.com/trusch/jamesd/internal/server/limit"
)

// writePaced writes as fast as the rates allow. The deadline of a piece begins when it may
// go, so that nobody is taken for slow whom the server holds up.
func (c *call) writePaced(p []byte) (n int, err error) {
	for len(p) > 0 && err == nil {
		piece := p[:min(len(p), c.pace.Piece())]
		if err = c.pace.Wait(c.r.Context(), len(piece)); err != nil {
			break
		}
		c.ctl.SetWriteDeadline(time.Now().Add(c.api.o.Stall))
		var sent int
		sent, err = c.w.Write(piece)
		c.out += int64(sent)
		n, p = n+sent, p[sent:]
	}
	return n, err
}

// freeBody is how many bytes of a body are not counted: polls, and nearly all reports,
// need no more.
const freeBody = 64 << 10

// counted returns the body, which is counted among those that are held where it is large.
func (c *call) counted() io.Reader {
	if c.limits == nil || c.body.length >= 0 && c.body.length <= freeBody {
		return &c.body
	}
	return &countedBody{c}
}

type countedBody struct{ c *call }

func (b *countedBody) Read(p []byte) (int, error) {
	c := b.c
	n, err := c.body.Read(p)
	if more := c.body.read - freeBody - c.held; n > 0 && more > 0 {
		if r := c.limits.Hold(c.limited, more); r != limit.Allowed {
			c.body.err = c.met(r, afterBusy)
			return 0, c.body.err
		}
		c.held += more
	}
	return n, err
}
