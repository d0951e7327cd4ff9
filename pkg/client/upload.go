package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"sync"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// uploadWait is how long a server may take to make durable what it has received.
const uploadWait = 5 * time.Minute

// AddPacket uploads a packet. The archive is sent as it is read; none of it is
// sent to a server that refuses the caller. It fails with KindExists where there
// is a packet of that name and those tags with other content, with KindInvalid
// or KindCorrupt for an archive that cannot be a packet's, and as reading the
// archive fails. It is not retried, as the archive can be read once.
func (c *Client) AddPacket(ctx context.Context, req james.AddPacketRequest, archive io.Reader) (james.AddPacketResponse, error) {
	var resp james.AddPacketResponse
	src := &source{Reader: archive}
	body, mediaType := form(req, src)
	_, err := c.call(ctx, request{
		op: "add packet", subject: req.Name, method: http.MethodPost, path: "/v1/packets",
		header: http.Header{"Expect": {"100-continue"}}, mediaType: mediaType, stream: body,
		wait: uploadWait, once: true,
	}, &resp)
	if failed := src.end(); failed != nil {
		return james.AddPacketResponse{}, james.Cannot("add packet", req.Name, failed)
	}
	return resp, err
}

// form returns the multipart body of an upload, of which nothing is held but
// the packet's names and scripts.
func form(req james.AddPacketRequest, archive io.Reader) (body io.Reader, mediaType string) {
	var head bytes.Buffer
	w := multipart.NewWriter(&head)
	part := func(name, mediaType string) io.Writer {
		out, _ := w.CreatePart(textproto.MIMEHeader{ // a buffer does not fail
			"Content-Disposition": {`form-data; name="` + name + `"`},
			"Content-Type":        {mediaType},
		})
		return out
	}
	part("packet", "application/json").Write(encode(req))
	part("archive", "application/octet-stream")
	tail := "\r\n--" + w.Boundary() + "--\r\n"
	return io.MultiReader(&head, archive, bytes.NewReader([]byte(tail))), w.FormDataContentType()
}

// source reads the archive for the transport, which may go on reading after an
// early answer, and remembers why that failed.
type source struct {
	io.Reader
	mu    sync.Mutex
	ended bool
	err   error
}

func (s *source) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, io.ErrClosedPipe
	}
	n, err := s.Reader.Read(p)
	if err != nil && err != io.EOF {
		s.err = unreadable(err)
	}
	return n, err
}

// end gives the archive back to the caller, and returns why it could not be read.
func (s *source) end() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	return s.err
}

func unreadable(err error) error {
	var own *james.Error
	if errors.As(err, &own) || errors.Is(err, context.Canceled) {
		return err
	}
	return james.Errorf(james.KindInvalid, "archive", "it cannot be read: %w", err)
}
