package api

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// following is a stream of bytes of which the end may still be to come: reading
// then waits for what is not there yet.
type following interface {
	io.ReadSeeker
	// Size returns how many bytes there are, and whether that is all.
	Size() (n int64, whole bool)
}

// byteRange is one range of bytes; last is -1 where it goes to the end.
type byteRange struct{ first, last int64 }

// parseRange returns the range that a header asks for. What is not one range from
// a first byte on is not understood, and whoever asks for that gets everything.
func parseRange(header string) (byteRange, bool) {
	text, ok := strings.CutPrefix(header, "bytes=")
	from, to, isRange := strings.Cut(text, "-")
	first, err := strconv.ParseUint(from, 10, 62)
	if !ok || !isRange || err != nil {
		return byteRange{}, false
	}
	if to == "" {
		return byteRange{int64(first), -1}, true
	}
	last, err := strconv.ParseUint(to, 10, 62)
	return byteRange{int64(first), int64(last)}, err == nil && first <= last
}

// follow answers with src, or with the range of it that was asked for, as it comes.
// Where the end is not known the answer has no length: it is cut off where src
// fails, and an answer to an open range says "bytes FIRST-*/*".
func (c *call) follow(src following, ranges bool) error {
	if !ranges {
		return c.copy(src, -1)
	}
	c.Header().Set("Accept-Ranges", "bytes")
	r, partial := parseRange(c.r.Header.Get("Range"))
	if !partial {
		return c.whole(src)
	}
	size, whole, err := reach(src, r)
	if err != nil {
		return err
	}
	if whole && r.first > size {
		c.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", size))
		return refuse(http.StatusRequestedRangeNotSatisfiable, "the range begins at byte %d of %d", r.first, size)
	}
	if _, err := src.Seek(r.first, io.SeekStart); err != nil {
		return err
	}
	return c.part(src, r, size, whole)
}

// reach waits until the range can be answered: its last byte is there, its first
// one where it goes to the end, or all bytes are.
func reach(src following, r byteRange) (size int64, whole bool, err error) {
	for at := max(r.first, r.last); ; {
		if size, whole = src.Size(); whole || size > at {
			return size, whole, nil
		}
		if _, err := src.Seek(at, io.SeekStart); err != nil {
			return 0, false, err
		}
		if _, err := src.Read(make([]byte, 1)); err != nil && err != io.EOF {
			return 0, false, err
		}
	}
}

func (c *call) whole(src following) error {
	size, whole := src.Size()
	if !whole {
		return c.copy(src, -1)
	}
	c.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	return c.copy(src, size)
}

// part answers with a range of which src is at the first byte.
func (c *call) part(src following, r byteRange, size int64, whole bool) error {
	h := c.Header()
	total := "*"
	if whole {
		total = strconv.FormatInt(size, 10)
	}
	if r.last < 0 && !whole {
		h.Set("Content-Range", fmt.Sprintf("bytes %d-*/*", r.first))
		c.writeHeader(http.StatusPartialContent)
		return c.copy(src, -1)
	}
	if last := size - 1; r.last < 0 || r.last > last {
		r.last = last
	}
	length := r.last + 1 - r.first
	h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%s", r.first, r.last, total))
	h.Set("Content-Length", strconv.FormatInt(length, 10))
	c.writeHeader(http.StatusPartialContent)
	err := c.copy(src, length)
	c.sent = c.sent && whole && r.last == size-1
	return err
}

// copy answers with the next length bytes of src, all of them where length is
// negative. What is there goes out before it waits for more. A client that hangs up
// is no failure.
func (c *call) copy(src io.Reader, length int64) error {
	if c.status == 0 {
		c.writeHeader(http.StatusOK)
	}
	buf := make([]byte, c.pace.Piece())
	for left := length; left != 0; {
		piece := buf
		if left > 0 {
			piece = buf[:min(int64(len(buf)), left)]
		}
		n, err := src.Read(piece)
		if _, failed := c.Write(piece[:n]); failed != nil {
			return nil
		}
		left -= int64(n)
		switch {
		case err == io.EOF && length < 0:
			c.sent = true
			return nil
		case err != nil:
			c.cut = true
			return err
		case length < 0:
			c.ctl.Flush()
		}
	}
	c.sent = true
	return nil
}
