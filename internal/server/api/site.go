package api

import (
	"net/http"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/pkg/james"
)

// SiteHandler returns what a site's cache answers: what jamesd answers about packets,
// to devices. It is served as Handler is.
func SiteHandler(o Options) http.Handler { return newHandler(o, siteRoutes) }

var siteRoutes = []Route{
	{Method: "GET", Path: "/v1/packets/{digest}/manifest", Access: Device, Op: "get the manifest of packet", manifest: true, handle: siteManifest, alone: true},
	{Method: "GET", Path: "/v1/packets/{digest}/archive", Access: Device, Op: "get the archive of packet", transfer: true, handle: siteArchive, alone: true},
	{Method: "POST", Path: "/v1/blobs", Access: Device, Op: "get contents", MaxBody: maxBlobs, transfer: true, handle: siteBlobs, alone: true},

	{Method: "POST", Path: "/v1/poll", Access: Device, Op: "poll", MaxBody: maxState, handle: notHere, alone: true},
	{Method: "POST", Path: "/v1/reports", Access: Device, Op: "report a transaction", MaxBody: maxReport, handle: notHere, alone: true},
	{Method: "POST", Path: "/v1/progress", Access: Device, Op: "tell the progress of a plan", MaxBody: maxProgress, handle: notHere, alone: true},
}

// site returns the cache, or fails with KindUnavailable.
func (c *call) site() (*site.Site, error) {
	if s := c.api.o.Site(); s != nil {
		return s, nil
	}
	return nil, james.Errorf(james.KindUnavailable, "cache", "is not open yet").
		WithHint("The log of the cache says what is wrong.")
}

func siteManifest(c *call, _ *fleet.Fleet) error {
	s, err := c.site()
	if err != nil {
		return err
	}
	content, err := s.Manifest(c.r.Context(), c.caller.name, c.digest)
	return c.fromSite("application/json", "", content, err)
}

func siteArchive(c *call, _ *fleet.Fleet) error {
	s, err := c.site()
	if err != nil {
		return err
	}
	content, err := s.Archive(c.r.Context(), c.caller.name, c.digest, c.ifMatch())
	return c.fromSite("application/octet-stream", ByArchive, content, err)
}

func siteBlobs(c *call, _ *fleet.Fleet) error {
	req, err := c.blobsRequest()
	if err != nil {
		return err
	}
	s, err := c.site()
	if err != nil {
		return err
	}
	if req.Offer {
		offer, err := s.Offer(c.r.Context(), c.caller.name, *req)
		return c.result(offer, err)
	}
	content, err := s.Blobs(c.r.Context(), c.caller.name, *req, c.ifMatch())
	return c.fromSite("application/octet-stream", ByStream, content, err)
}

// ifMatch returns the ETag that the answer must have, "" where any will do.
func (c *call) ifMatch() string {
	if etag := c.r.Header.Get("If-Match"); etag != "*" {
		return etag
	}
	return ""
}

// fromSite answers with what the cache has, or is about to have. Who asks for a range
// says with If-Match of what.
func (c *call) fromSite(mediaType string, way Way, content *site.Content, err error) error {
	if err != nil {
		return err
	}
	defer content.Close()
	c.way = way
	c.Header().Set("Content-Type", mediaType)
	c.Header().Set("Etag", content.ETag())
	if match := c.r.Header.Get("If-Range"); match != "" && match != content.ETag() {
		c.r.Header.Del("Range")
	}
	return c.follow(content, true)
}

// notHere answers what a device asks its jamesd itself.
func notHere(*call, *fleet.Fleet) error {
	return james.Errorf(james.KindDenied, "", "this is the cache of a site, which serves packets only").
		WithHint("Give the address of the jamesd with --addr, and that of the cache with --cache.")
}
