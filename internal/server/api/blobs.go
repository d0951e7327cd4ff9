package api

import (
	"net/http"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/pkg/james"
)

// getBlobs answers with the stream of the contents that a device wants, or with
// what that would take.
func getBlobs(c *call, f *fleet.Fleet) error {
	req, err := c.blobsRequest()
	if err != nil {
		return err
	}
	if err := f.MayOrder(c.caller.name, req); err != nil {
		return err
	}
	s, err := c.supply()
	if err != nil {
		return err
	}
	if req.Offer {
		offer, err := s.Offer(c.r.Context(), req)
		return c.result(offer, err)
	}
	stream, err := c.stream(s, req)
	if err != nil {
		return err
	}
	defer stream.Close()
	c.Header().Set("Content-Type", "application/octet-stream")
	if stream.ETag != "" {
		c.Header().Set("Etag", stream.ETag)
	}
	if c.way = ByStream; stream.Saved.Patches > 0 {
		c.way = ByPatch
	}
	err = c.follow(stream, stream.ETag != "")
	if c.sent {
		c.saved = stream.Saved
	}
	return err
}

// blobsRequest reads what contents are wanted.
func (c *call) blobsRequest() (*james.BlobsRequest, error) {
	var req james.BlobsRequest
	if err := c.decode(&req); err != nil {
		return nil, err
	}
	if err := req.Validate(); err != nil {
		return nil, err
	}
	if len(req.Packets) == 1 {
		c.subject = "of packet " + req.Packets[0].Packet.Short()
	}
	return &req, nil
}

// supply returns what makes streams. It fails with KindUnavailable as long as there is
// nothing, and with KindNotFound where there never will be.
func (c *call) supply() (*supply.Supply, error) {
	if c.api.o.Supply == nil {
		return nil, james.Errorf(james.KindNotFound, "streams", "they are not made here")
	}
	if s := c.api.o.Supply(); s != nil {
		return s, nil
	}
	return nil, james.Errorf(james.KindUnavailable, "streams", "they cannot be made yet").
		WithHint("jamesd goes on trying; its log says what is wrong.")
}

// stream returns the stream that the request means: the one that it has begun to
// read before where it names one, and otherwise what answers it now. Who insists on
// the one before gets no other, and none is made.
func (c *call) stream(s *supply.Supply, req *james.BlobsRequest) (*supply.Stream, error) {
	if etag := c.r.Header.Get("If-Match"); etag != "" && etag != "*" {
		if stream := s.Resume(c.r.Context(), req, etag); stream != nil {
			return stream, nil
		}
		return nil, refuse(http.StatusPreconditionFailed, "the stream %.100s is not there any more", etag)
	}
	if etag := c.r.Header.Get("If-Range"); etag != "" && c.r.Header.Get("Range") != "" {
		if stream := s.Resume(c.r.Context(), req, etag); stream != nil {
			return stream, nil
		}
		c.r.Header.Del("Range")
	}
	return s.Stream(c.r.Context(), req)
}
