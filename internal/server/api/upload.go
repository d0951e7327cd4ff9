package api

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// addPacket takes the two parts of an upload in their order, without keeping
// anything of the archive.
func addPacket(c *call, f *fleet.Fleet) error {
	parts, err := c.parts()
	if err != nil {
		return err
	}
	req, err := readPacket(parts)
	if err != nil {
		return c.because(err)
	}
	c.subject = req.Name
	content, err := nextPart(parts, "archive")
	if err != nil {
		return c.because(err)
	}
	last := &lastPart{parts: parts, part: content}
	resp, err := f.AddPacket(c.r.Context(), c.caller.name, req, last)
	if err != nil && last.err != nil {
		err = last.err // what came of it is a consequence
	}
	if err != nil {
		return c.because(overLimit(err))
	}
	if resp.Added {
		return c.json(http.StatusCreated, resp)
	}
	return c.result(resp, nil)
}

// overLimit names the setting where an archive is too large.
func overLimit(err error) error {
	var e *james.Error
	switch {
	case !errors.As(err, &e):
	case errors.Is(err, archive.ErrMaxArchive):
		return tooLarge(e, "max-archive")
	case errors.Is(err, archive.ErrMaxSize):
		return tooLarge(e, "max-packet-size")
	}
	return err
}

func (c *call) parts() (*multipart.Reader, error) {
	if err := c.mediaType("multipart/form-data"); err != nil {
		return nil, err
	}
	_, params, _ := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	if n := len(params["boundary"]); n == 0 || n > 70 { // RFC 2046
		return nil, refuse(http.StatusUnsupportedMediaType, "the body has no boundary of 1 to 70 characters")
	}
	return multipart.NewReader(&c.body, params["boundary"]), nil
}

func readPacket(parts *multipart.Reader) (req james.AddPacketRequest, err error) {
	part, err := nextPart(parts, "packet")
	if err != nil {
		return req, err
	}
	limited := &io.LimitedReader{R: part, N: maxPacket + 1}
	err = decodeJSON(limited, &req)
	if limited.N == 0 {
		err = refuse(http.StatusRequestEntityTooLarge, "the part \"packet\" is larger than %d bytes", maxPacket)
	}
	return req, err
}

// nextPart returns the next part, which must have that name.
func nextPart(parts *multipart.Reader, name string) (*multipart.Part, error) {
	part, err := parts.NextRawPart()
	switch {
	case errors.Is(err, io.EOF):
		return nil, james.Errorf(james.KindInvalid, "", "the body has no part %q", name)
	case err != nil:
		return nil, malformedBody(err)
	case part.FormName() != name:
		return nil, james.Errorf(james.KindInvalid, "", "the body has the part %.40q where %q must be", part.FormName(), name)
	}
	return part, nil
}

// lastPart reads a part and ends well only if the body ends with it, so that
// nothing is done with an upload before all of it was understood.
type lastPart struct {
	parts *multipart.Reader
	part  *multipart.Part
	err   error // other than io.EOF
}

func (l *lastPart) Read(p []byte) (int, error) {
	if l.err != nil {
		return 0, l.err
	}
	n, err := l.part.Read(p)
	if err == io.EOF {
		err = l.rest()
	} else if err != nil {
		err = malformedBody(err)
	}
	if err != io.EOF {
		l.err = err
	}
	return n, err
}

// rest returns io.EOF where the body ends as it must.
func (l *lastPart) rest() error {
	_, err := l.parts.NextRawPart()
	switch {
	case err == nil:
		return james.Errorf(james.KindInvalid, "", "the body goes on after the archive")
	case !errors.Is(err, io.EOF):
		return malformedBody(err)
	}
	return io.EOF
}

func malformedBody(err error) error {
	return james.Errorf(james.KindInvalid, "", "malformed multipart body: %w", err)
}
