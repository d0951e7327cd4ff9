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

// BlobStream is a stream of contents on its way from the server. It ends where
// the stream does; a connection that breaks off before that is an error of
// KindUnavailable.
type BlobStream struct {
	io.ReadCloser
	// ETag names the bytes of the whole stream, for going on after an error.
	ETag string
	// Size is the bytes of the whole stream, -1 where the server is still making it.
	Size int64
}

// Blobs returns the stream that answers req; the caller closes it and verifies
// what it holds. With the ETag of an earlier answer to the same request it
// returns the bytes of that stream from offset on. It then fails with
// KindConflict where the server has that stream no more, and has made nothing
// in its place: the caller asks for what it still lacks.
//
// It fails with KindInvalid for a request that cannot be meant, with KindDenied
// where a packet is not the caller's business, and with KindNotFound where the
// server lacks a packet, or its contents: the archive of such a packet may be
// there all the same. It does not retry: after an error, the caller goes on from
// where it is.
func (c *Client) Blobs(ctx context.Context, req james.BlobsRequest, etag string, offset int64) (*BlobStream, error) {
	req.Offer = false
	r := blobsRequest("get contents", &req)
	switch err := req.Validate(); {
	case err != nil:
		return nil, named(&r, err)
	case offset < 0 || offset > 0 && etag == "":
		return nil, named(&r, james.Errorf(james.KindInvalid, "", "there is no byte %d of an unknown stream", offset))
	case etag != "":
		r.header = http.Header{"If-Match": {etag}, "If-Range": {etag}, "Range": {fmt.Sprintf("bytes=%d-", offset)}}
	}
	resp, err := c.send(ctx, &r)
	if err != nil {
		return nil, named(&r, err)
	}
	s, err := c.streamOf(resp, etag, offset)
	if err != nil {
		resp.Body.Close()
		return nil, named(&r, err)
	}
	return s, nil
}

// OfferBlobs returns what the stream that answers req would take.
func (c *Client) OfferBlobs(ctx context.Context, req james.BlobsRequest) (james.BlobsOffer, error) {
	req.Offer = true
	var offer james.BlobsOffer
	r := blobsRequest("get an offer of contents", &req)
	if err := req.Validate(); err != nil {
		return offer, named(&r, err)
	}
	_, err := c.call(ctx, r, &offer)
	return offer, err
}

func blobsRequest(op string, req *james.BlobsRequest) request {
	r := request{op: op, method: http.MethodPost, path: "/v1/blobs", mediaType: "application/json", body: encode(req)}
	if len(req.Packets) == 1 {
		r.subject = "of packet " + req.Packets[0].Packet.Short()
	}
	return r
}

// streamOf makes sure that the next byte of the answer is the one at offset of
// the stream of that ETag, where one was asked for.
func (c *Client) streamOf(resp *http.Response, etag string, offset int64) (*BlobStream, error) {
	s := &BlobStream{ReadCloser: resp.Body, ETag: resp.Header.Get("Etag"), Size: resp.ContentLength}
	if etag != "" && s.ETag != etag {
		return nil, james.Errorf(james.KindConflict, c.o.Addr, "the server has another stream: %s, not %s", s.ETag, etag)
	}
	if resp.StatusCode != http.StatusPartialContent {
		// Something in between does not know ranges; the bytes before offset come again.
		if s.Size >= 0 {
			s.ReadCloser = &exactly{ReadCloser: resp.Body, left: s.Size, addr: c.o.Addr}
		}
		return s, c.skip(s, offset)
	}
	first, total, ok := contentRange(resp.Header.Get("Content-Range"))
	if !ok || first != offset || etag == "" {
		return nil, james.Errorf(james.KindConflict, c.o.Addr, "the server sent %q, not the bytes from %d on", resp.Header.Get("Content-Range"), offset)
	}
	if s.Size = total; total >= 0 {
		s.ReadCloser = &exactly{ReadCloser: resp.Body, left: total - offset, addr: c.o.Addr}
	}
	return s, nil
}

// contentRange reads the header of an answer that goes to the end: "bytes
// FIRST-LAST/TOTAL", or "bytes FIRST-*/*" of a stream that is still being made,
// whose total is -1.
func contentRange(header string) (first, total int64, ok bool) {
	positions, size, ok := strings.Cut(strings.TrimPrefix(header, "bytes "), "/")
	from, last, isRange := strings.Cut(positions, "-")
	first, err := strconv.ParseInt(from, 10, 64)
	if !ok || !isRange || err != nil || first < 0 {
		return 0, 0, false
	}
	if last == "*" && size == "*" {
		return first, -1, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return first, total, err == nil && first <= total && last == strconv.FormatInt(total-1, 10)
}
