package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// Manifest returns the manifest of a packet, whose digest it has. It fails with
// KindDenied where the packet is not the caller's business, with KindNotFound,
// and with KindCorrupt.
func (c *Client) Manifest(ctx context.Context, packet james.Digest) (*james.Manifest, error) {
	r, err := packetRequest("get the manifest of packet", http.MethodGet, packet, "/manifest")
	if err != nil {
		return nil, err
	}
	var m *james.Manifest
	err = c.retry(ctx, &r, func() error {
		resp, err := c.send(ctx, &r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		m, err = james.DecodeManifest(resp.Body, packet)
		return err
	})
	return m, err
}

// MayFetch returns nil where the caller may get what a packet holds, and the packet
// is there. It fails with KindDenied where the packet is not the caller's business,
// and with KindNotFound. Next to nothing is sent for it.
func (c *Client) MayFetch(ctx context.Context, packet james.Digest) error {
	r, err := packetRequest("get the manifest of packet", http.MethodGet, packet, "/manifest")
	if err != nil {
		return err
	}
	r.header, r.known = http.Header{"If-None-Match": {`"` + packet.String() + `"`}}, true
	_, err = c.call(ctx, r, nil)
	return err
}

// Archive returns the bytes of a packet's archive from offset on, to its end;
// the caller closes it and verifies the whole. It fails with KindConflict when
// the server has other bytes than a says. It does not retry: after an error,
// the caller goes on from where it is.
func (c *Client) Archive(ctx context.Context, packet james.Digest, a james.Archive, offset int64) (io.ReadCloser, error) {
	r, err := packetRequest("get the archive of packet", http.MethodGet, packet, "/archive")
	switch {
	case err != nil:
		return nil, err
	case offset < 0 || offset > a.Size:
		return nil, named(&r, james.Errorf(james.KindInvalid, "", "there is no byte %d of %d", offset, a.Size))
	case offset == a.Size:
		return http.NoBody, nil
	}
	etag := `"` + a.Digest.String() + `"`
	r.header = http.Header{"If-Match": {etag}}
	if offset > 0 {
		r.header["Range"], r.header["If-Range"] = []string{fmt.Sprintf("bytes=%d-", offset)}, []string{etag}
	}
	resp, err := c.send(ctx, &r)
	if err != nil {
		return nil, named(&r, err)
	}
	if err := c.position(resp, etag, a.Size, offset); err != nil {
		resp.Body.Close()
		return nil, named(&r, err)
	}
	return &exactly{ReadCloser: resp.Body, left: a.Size - offset, addr: c.o.Addr}, nil
}

// ArchiveOf describes the archive of a packet, but for its format. It fails with
// KindDenied where the packet is not the caller's business and with KindNotFound.
func (c *Client) ArchiveOf(ctx context.Context, packet james.Digest) (james.Archive, error) {
	var a james.Archive
	r, err := packetRequest("get the archive of packet", http.MethodGet, packet, "/archive")
	if err != nil {
		return a, err
	}
	r.header = http.Header{"Range": {"bytes=0-0"}} // unlike HEAD, it has an error described
	err = c.retry(ctx, &r, func() error {
		resp, err := c.send(ctx, &r)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		a, err = c.describe(resp)
		return err
	})
	return a, err
}

// describe reads what the header of an answer says of the whole.
func (c *Client) describe(resp *http.Response) (a james.Archive, err error) {
	a.Size = resp.ContentLength
	if resp.StatusCode == http.StatusPartialContent {
		_, total, _ := strings.Cut(resp.Header.Get("Content-Range"), "/")
		if a.Size, err = strconv.ParseInt(total, 10, 64); err != nil {
			a.Size = -1
		}
	}
	if a.Digest, err = james.ParseDigest(strings.Trim(resp.Header.Get("Etag"), `"`)); err != nil || a.Size < 0 {
		return a, james.Errorf(james.KindCorrupt, c.o.Addr, "the server does not say which archive it has")
	}
	return a, nil
}

// position makes sure that the next byte of the answer is the one at offset of
// the right bytes.
func (c *Client) position(resp *http.Response, etag string, size, offset int64) error {
	if got := resp.Header.Get("Etag"); got != etag {
		return james.Errorf(james.KindConflict, c.o.Addr, "the server has another archive: %s, not %s", got, etag)
	}
	if resp.StatusCode == http.StatusPartialContent {
		want := fmt.Sprintf("bytes %d-%d/%d", offset, size-1, size)
		if got := resp.Header.Get("Content-Range"); got != want {
			return james.Errorf(james.KindConflict, c.o.Addr, "the server sent %q, not %q", got, want)
		}
		return nil
	}
	if resp.ContentLength >= 0 && resp.ContentLength != size {
		return james.Errorf(james.KindConflict, c.o.Addr, "the archive has %d bytes, not %d", resp.ContentLength, size)
	}
	// Something in between does not know ranges; the bytes before offset come again.
	return c.skip(resp.Body, offset)
}

// skip reads n bytes that are not needed.
func (c *Client) skip(r io.Reader, n int64) error {
	got, err := io.CopyN(io.Discard, r, n)
	if err == io.EOF {
		err = james.Errorf(james.KindUnavailable, c.o.Addr, "the download ended after %d bytes, before byte %d", got, n)
	}
	return err
}

// exactly reads as many bytes as there must be.
type exactly struct {
	io.ReadCloser
	left int64
	addr string
}

func (e *exactly) Read(p []byte) (int, error) {
	n, err := e.ReadCloser.Read(p)
	e.left -= int64(n)
	switch {
	case e.left < 0:
		return 0, james.Errorf(james.KindCorrupt, e.addr, "the server sent more bytes than the archive has")
	case err == io.EOF && e.left > 0:
		return n, james.Errorf(james.KindUnavailable, e.addr, "the download ended %d bytes early", e.left)
	}
	return n, err
}
