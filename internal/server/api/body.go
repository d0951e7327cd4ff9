package api

import (
	"errors"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// progress is how many bytes of a body must arrive within Options.Stall: slow
// links get through, and a client that trickles a byte at a time does not.
const progress = 16 << 10

// body reads the body of a request, within its limit and as long as it makes
// progress. Its errors are those of package james.
type body struct {
	src    io.Reader
	ctl    *http.ResponseController
	stall  time.Duration
	length int64 // as declared; -1 where it is not known
	limit  int64
	flag   string // the setting that the limit follows from, if one does
	read   int64
	due    int64         // how much must have been read when
	waited time.Duration // for the client reaches stall
	err    error         // how reading ended
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.receive(p[:min(int64(len(p)), b.limit-b.read+1)])
	switch {
	case b.read > b.limit:
		n, b.err = 0, b.tooLarge()
	case err != nil:
		b.err = b.explain(err)
	}
	return n, b.err
}

// receive reads with a deadline. Only waiting for the client counts towards it,
// not what is done between two reads. net/http lifts the deadline at the end of
// the body, so it does not end the wait of a poll.
func (b *body) receive(p []byte) (int, error) {
	if b.brief() {
		n, err := b.src.Read(p)
		b.read += int64(n)
		return n, err
	}
	start := time.Now()
	b.ctl.SetReadDeadline(start.Add(b.stall - b.waited))
	n, err := b.src.Read(p)
	b.read += int64(n)
	b.waited += time.Since(start)
	if b.read >= b.due {
		b.due, b.waited = b.read+progress, 0
	}
	return n, err
}

// brief reports whether the body is so short that it comes with the header, and has the
// deadline of that: headerTimeout.
func (b *body) brief() bool { return b.length >= 0 && b.length <= idlePoll }

func (b *body) explain(err error) error {
	switch {
	case err == io.EOF:
		return err
	case errors.Is(err, os.ErrDeadlineExceeded) && b.brief():
		return james.Errorf(james.KindInterrupted, "", "the request stalled: it did not come within %s", headerTimeout)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return james.Errorf(james.KindInterrupted, "", "the request stalled: less than %d bytes of its body came in %s", progress, b.stall)
	case errors.Is(err, http.ErrBodyReadAfterClose):
		return james.Errorf(james.KindInternal, "", "the body was read too late: %w", err)
	}
	return james.Errorf(james.KindInterrupted, "", "the connection was lost in the middle of the request: %w", err)
}

// check refuses a body before a byte of it was read.
func (b *body) check() error {
	switch {
	case b.limit == 0 && b.length != 0:
		return refuse(http.StatusRequestEntityTooLarge, "a body is not expected here")
	case b.length > b.limit:
		return b.tooLarge()
	}
	return nil
}

func (b *body) tooLarge() error {
	return tooLarge(james.Errorf(james.KindInvalid, "", "the body is larger than %d bytes", b.limit), b.flag)
}

// tooLarge returns err with its status, and with the setting that it follows from.
func tooLarge(err *james.Error, flag string) error {
	if flag != "" {
		err = err.WithHint("It is the limit --%s of jamesd.", flag)
	}
	return &refusal{http.StatusRequestEntityTooLarge, err}
}

// failed returns the error by which reading ended, if it was not the end.
func (b *body) failed() error {
	if b.err == io.EOF {
		return nil
	}
	return b.err
}

// small is what net/http reads by itself to keep a connection.
const small = 256 << 10

// unread reports whether so much of the body has not arrived that the answer
// needs the care of linger.
func (b *body) unread() bool {
	return b.err != io.EOF && (b.length < 0 || b.length-b.read > small)
}

// linger takes in what a client goes on sending after the answer. Closing the
// connection right away would make its kernel throw the answer away before the
// client has read it.
func (c *call) linger() {
	if c.ctl.Flush() != nil {
		return
	}
	c.ctl.SetReadDeadline(time.Now().Add(c.api.o.Linger))
	io.Copy(io.Discard, c.r.Body) // until the client hangs up, or has had its time
	c.ctl.SetReadDeadline(time.Now())
}
