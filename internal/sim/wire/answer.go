package wire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strconv"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Limits of an answer's header.
const (
	maxLine  = 1 << 10 // bytes
	maxLines = 64
)

// Answer is the header of an answer, as far as a device looks at it.
type Answer struct {
	Status int
	// Interval, Pause, Revision and Dropped are as in james.PollResponse.
	Interval int
	Pause    time.Duration
	Revision uint64
	Dropped  bool
	// RetryAfter is how long the server wants to be left alone, 0 where it does not
	// say that.
	RetryAfter time.Duration
	// Last says that the server closes the connection after this answer.
	Last bool

	length  int64
	chunked bool
}

// Receive reads the header of an answer. Its body is what Body reads.
func (c *Conn) Receive() (Answer, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return Answer{}, err
	}
	var a Answer
	if a.Status, err = status(line); err != nil {
		return Answer{}, err
	}
	for range maxLines {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return Answer{}, unexpected(err)
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			c.body = body{conn: c, left: a.length, chunked: a.chunked}
			if a.Status == http.StatusNoContent || a.Status == http.StatusNotModified {
				c.body = body{conn: c}
			}
			return a, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		if err := a.note(name, bytes.TrimSpace(value)); err != nil {
			return Answer{}, err
		}
	}
	return Answer{}, james.Errorf(james.KindCorrupt, "answer", "its header has more than %d lines", maxLines)
}

// status returns that of the first line of an answer, "HTTP/1.1 204 No Content".
func status(line []byte) (int, error) {
	const head = len("HTTP/1.1 ")
	if len(line) > head+3 && bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		if n, err := strconv.Atoi(string(line[head : head+3])); err == nil {
			return n, nil
		}
	}
	return 0, james.Errorf(james.KindCorrupt, "answer", "it begins with %.40q", line)
}

// note takes what a device looks at out of a line of the header.
func (a *Answer) note(name, value []byte) (err error) {
	is := func(other string) bool {
		return len(name) == len(other) && bytes.EqualFold(name, []byte(other))
	}
	switch {
	case is("Content-Length"):
		a.length, err = strconv.ParseInt(string(value), 10, 64)
	case is("Transfer-Encoding"):
		a.chunked = bytes.EqualFold(value, []byte("chunked"))
	case is("Connection"):
		a.Last = bytes.EqualFold(value, []byte("close"))
	case is("Retry-After"):
		a.RetryAfter = retryAfter(string(value))
	case is(james.HeaderPollInterval):
		a.Interval, err = strconv.Atoi(string(value))
	case is(james.HeaderPollPause):
		a.Pause, err = time.ParseDuration(string(value) + "s")
	case is(james.HeaderRevision):
		a.Revision, err = strconv.ParseUint(string(value), 10, 64)
	case is(james.HeaderPlan):
		a.Dropped = string(value) == james.PlanNone
	}
	if err != nil || a.length < 0 {
		return james.Errorf(james.KindCorrupt, "answer", "its header has %.40q for %s", value, name)
	}
	return nil
}

// maxRetryAfter bounds how long a server is left alone as it asks for.
const maxRetryAfter = 24 * time.Hour

// retryAfter reads whole seconds; a date is nothing that jamesd writes.
func retryAfter(value string) time.Duration {
	seconds, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return 0
	}
	return min(time.Duration(seconds)*time.Second, maxRetryAfter)
}

// Body returns the body of the answer that was received last. It must be read to its
// end before the next request, and is good until then.
func (c *Conn) Body() io.Reader { return &c.body }

// body is that of one answer, by its length or in chunks.
type body struct {
	conn    *Conn
	left    int64
	chunked bool
	chunks  io.Reader
	over    bool
}

func (b *body) Read(p []byte) (int, error) {
	switch {
	case b.over || !b.chunked && b.left == 0:
		return 0, io.EOF
	case b.chunked:
		return b.readChunks(p)
	}
	n, err := b.conn.in.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, unexpected(err)
}

func (b *body) readChunks(p []byte) (int, error) {
	if b.chunks == nil {
		b.chunks = httputil.NewChunkedReader(b.conn.in)
	}
	n, err := b.chunks.Read(p)
	if err != io.EOF {
		return n, err
	}
	b.over = true
	line, err := b.conn.in.ReadSlice('\n') // after the last chunk; jamesd has no trailers
	switch {
	case err != nil:
		return n, unexpected(err)
	case len(bytes.TrimRight(line, "\r\n")) > 0:
		return n, james.Errorf(james.KindCorrupt, "answer", "%.40q follows its last chunk", line)
	}
	return n, io.EOF
}

// unexpected makes the end of a connection in the middle of an answer an error.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("in the middle of an answer: %w", io.ErrUnexpectedEOF)
	}
	return err
}
