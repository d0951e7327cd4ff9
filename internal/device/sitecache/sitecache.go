// Package sitecache asks the cache of the device's site for what jamesd serves to
// many devices: manifests, archives and contents. Polls and reports go to jamesd
// itself, and so does everything else where the cache does not answer, refuses, or
// sends what is not right.
//
// What always holds: whatever the cache does, the device gets from jamesd what it
// would get without one. A cache that does not answer costs one short wait, and is
// then left alone for a while, which grows; so is one that breaks off in the middle.
//
// The package verifies nothing: whoever asks compares manifests with the plan and
// contents with manifests, wherever they come from, and says by Doubt what did not
// compare.
package sitecache

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// Source is what a cache serves; *client.Client has it.
type Source interface {
	Manifest(ctx context.Context, packet james.Digest) (*james.Manifest, error)
	Archive(ctx context.Context, packet james.Digest, a james.Archive, offset int64) (io.ReadCloser, error)
	ArchiveOf(ctx context.Context, packet james.Digest) (james.Archive, error)
	Blobs(ctx context.Context, req james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error)
	OfferBlobs(ctx context.Context, req james.BlobsRequest) (james.BlobsOffer, error)
}

// Server is a jamesd; *client.Client is one.
type Server interface {
	Source
	Poll(ctx context.Context, req james.PollRequest) (james.PollResponse, error)
	Report(ctx context.Context, r james.Report) error
	Progress(ctx context.Context, p james.Progress) error
}

// Patience with a cache: it is near, so what takes long is not well. Whoever connects
// to one uses these as client.Options, and has nothing tried again.
const (
	DialTimeout = 3 * time.Second
	Timeout     = 20 * time.Second // it may have to ask jamesd first
	Stall       = 20 * time.Second
)

// How long a cache is left alone that does not answer, and one that sent what is not
// right. The first doubles with every time in a row.
const (
	firstPause = 30 * time.Second
	maxPause   = 10 * time.Minute
)

// Client is a jamesd with a cache before it. It is safe for concurrent use.
type Client struct {
	Server
	cache Source
	log   logrus.FieldLogger
	now   func() time.Time

	mu    sync.Mutex
	tries int       // in vain since something came whole
	until time.Time // when the cache is asked again
}

// New returns server with cache before it.
func New(server Server, cache Source, log logrus.FieldLogger) *Client {
	return &Client{Server: server, cache: cache, log: log, now: time.Now}
}

// Manifest is as of jamesd.
func (c *Client) Manifest(ctx context.Context, packet james.Digest) (*james.Manifest, error) {
	m, _, err := ask(ctx, c, func(s Source) (*james.Manifest, error) { return s.Manifest(ctx, packet) })
	return m, err
}

// ArchiveOf is as of jamesd.
func (c *Client) ArchiveOf(ctx context.Context, packet james.Digest) (james.Archive, error) {
	a, _, err := ask(ctx, c, func(s Source) (james.Archive, error) { return s.ArchiveOf(ctx, packet) })
	return a, err
}

// OfferBlobs is as of jamesd.
func (c *Client) OfferBlobs(ctx context.Context, req james.BlobsRequest) (james.BlobsOffer, error) {
	offer, _, err := ask(ctx, c, func(s Source) (james.BlobsOffer, error) { return s.OfferBlobs(ctx, req) })
	return offer, err
}

// Archive is as of jamesd. Where the cache breaks off, who goes on does so at jamesd.
func (c *Client) Archive(ctx context.Context, packet james.Digest, a james.Archive, offset int64) (io.ReadCloser, error) {
	r, cached, err := ask(ctx, c, func(s Source) (io.ReadCloser, error) { return s.Archive(ctx, packet, a, offset) })
	if cached {
		r = &body{r, c, ctx}
	}
	return r, err
}

// Blobs is as of jamesd. A stream has the same ETag from the cache and from jamesd, so
// that either can go on with what the other has begun.
func (c *Client) Blobs(ctx context.Context, req james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error) {
	s, cached, err := ask(ctx, c, func(s Source) (*client.BlobStream, error) { return s.Blobs(ctx, req, etag, offset) })
	if cached {
		s.ReadCloser = &body{s.ReadCloser, c, ctx}
	}
	return s, err
}

// ask returns what the cache answers, or jamesd in its place.
func ask[T any](ctx context.Context, c *Client, call func(Source) (T, error)) (v T, cached bool, err error) {
	if c.alone() {
		v, err = call(c.Server)
		return v, false, err
	}
	if v, err = call(c.cache); err == nil {
		return v, true, nil
	}
	if ctx.Err() != nil {
		return v, false, err
	}
	c.failed(err)
	v, err = call(c.Server)
	return v, false, err
}

// alone reports whether the cache is not to be asked now.
func (c *Client) alone() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now().Before(c.until)
}

// failed takes notice of a failure of the cache. What it does not have or may not
// give says nothing of its health.
func (c *Client) failed(err error) {
	log := c.log.WithError(err).WithField("kind", james.KindOf(err))
	switch james.KindOf(err) {
	case james.KindDenied, james.KindNotFound, james.KindConflict, james.KindInvalid:
		log.Debug("the site's cache does not give it, asking jamesd")
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	pause := min(firstPause<<min(c.tries, 10), maxPause)
	c.tries++
	c.until = c.now().Add(pause)
	log = log.WithField("retry", pause.String())
	if c.tries == 1 {
		log.Warn("the site's cache does not answer, asking jamesd")
	} else {
		log.Debug("the site's cache still does not answer")
	}
}

// whole takes notice of an answer that came to its end.
func (c *Client) whole() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.tries > 0 {
		c.log.WithField("tries", c.tries).Info("the site's cache answers again")
	}
	c.tries = 0
}

// Doubt says that something that was fetched was not what it must be. It returns true
// where the cache may have sent it; jamesd is asked next.
func (c *Client) Doubt() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now().Before(c.until) {
		return false
	}
	c.tries++
	c.until = c.now().Add(maxPause)
	c.log.WithField("retry", maxPause.String()).Warn("the site's cache may have sent what is not right, asking jamesd")
	return true
}

// body is an answer of the cache.
type body struct {
	io.ReadCloser
	c   *Client
	ctx context.Context
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch {
	case errors.Is(err, io.EOF):
		b.c.whole()
	case err != nil && b.ctx.Err() == nil:
		b.c.failed(err)
	}
	return n, err
}
