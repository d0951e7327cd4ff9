// Package site keeps what the devices of a site fetch from their jamesd, so that it
// comes over the site's link once: manifests, archives, and streams of contents.
//
// What always holds: a device gets nothing that jamesd would not give it. jamesd is
// asked for each device and packet, and its answer is good for a while; a device
// that is denied is not served what others have fetched. What is kept is what jamesd
// sent, to its end: a manifest and an archive have the digests that name them, a
// stream came whole under the one ETag that jamesd gave it. What cannot be kept goes
// through. Bytes that are damaged on the cache's disk are fetched again, and are
// not served.
//
// Devices need not trust the cache: they compare manifests with their plan, which
// comes from jamesd itself, and contents with their manifests.
//
// The package knows no HTTP; callers have checked which device asks.
package site

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// Central is the jamesd as it answers for one device; a *client.Client of For is one.
type Central interface {
	MayFetch(ctx context.Context, packet james.Digest) error
	Manifest(ctx context.Context, packet james.Digest) (*james.Manifest, error)
	ArchiveOf(ctx context.Context, packet james.Digest) (james.Archive, error)
	Archive(ctx context.Context, packet james.Digest, a james.Archive, offset int64) (io.ReadCloser, error)
	Blobs(ctx context.Context, req james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error)
	OfferBlobs(ctx context.Context, req james.BlobsRequest) (james.BlobsOffer, error)
}

// Options are what a Site is made of. Zero values of the last group have defaults.
type Options struct {
	// Central returns the jamesd as it answers for that device.
	Central func(device string) Central
	Cache   *cache.Cache
	Log     logrus.FieldLogger

	Now   func() time.Time // time.Now
	Sleep func(ctx context.Context, d time.Duration) error
	Rand  func() float64 // math/rand/v2; safe for concurrent use
	Name  func() string  // crypto/rand.Text; safe for concurrent use
}

// Site is the cache of a site. It is safe for concurrent use.
type Site struct {
	o       Options
	permits permits
	link    link
	large   large
	bytes   atomic.Int64
	passed  atomic.Int64
}

// New returns the cache of a site.
func New(o Options) *Site {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Name == nil {
		o.Name = crand.Text
	}
	s := &Site{o: o, link: link{log: o.Log}}
	s.permits.known = make(map[permit]time.Time)
	s.large.until = make(map[string]time.Time)
	return s
}

// Stats are the numbers of a site since its start.
type Stats struct {
	Cache cache.Stats
	Bytes int64 // of what was fetched from jamesd
	Asked int64 // times that jamesd was asked whether a device may get a packet
	// Denied are those that it denied; Passed the answers that went through and were
	// not kept.
	Denied, Passed int64
}

// Stats returns the numbers as they are now.
func (s *Site) Stats() Stats {
	return Stats{
		Cache: s.o.Cache.Stats(), Bytes: s.bytes.Load(), Passed: s.passed.Load(),
		Asked: s.permits.asked.Load(), Denied: s.permits.denied.Load(),
	}
}

// Ready fails with james.KindUnavailable where jamesd did not answer when it was
// asked last.
func (s *Site) Ready() error { return s.link.err() }

// Manifest returns the manifest of a packet. It fails as jamesd does, with
// james.KindDenied where the packet is not the device's business.
func (s *Site) Manifest(ctx context.Context, device string, packet james.Digest) (*Content, error) {
	if err := s.permit(ctx, device, packet); err != nil {
		return nil, err
	}
	return s.open(ctx, "manifest "+packet.String(), func(ctx context.Context, w io.Writer) error {
		m, err := s.o.Central(device).Manifest(ctx, packet)
		if err = s.link.note(err); err != nil {
			return err
		}
		raw, digest, err := m.Encode()
		if err == nil && digest != packet {
			err = james.Errorf(james.KindCorrupt, "manifest of packet "+packet.Short(), "is encoded otherwise")
		}
		if err == nil {
			err = head{quoted(packet), int64(len(raw))}.write(w)
		}
		if err != nil {
			return err
		}
		s.bytes.Add(int64(len(raw)))
		_, err = w.Write(raw)
		return err
	})
}

// Archive returns the archive of a packet; where etag is not "", the one with that
// ETag, or it fails with james.KindConflict. It fails as Manifest does.
func (s *Site) Archive(ctx context.Context, device string, packet james.Digest, etag string) (*Content, error) {
	if err := s.permit(ctx, device, packet); err != nil {
		return nil, err
	}
	central := s.o.Central(device)
	key := "archive " + packet.String() + " " + etag
	if etag != "" {
		if c, ok := s.held(ctx, key); ok {
			c.reopen = func() (*Content, error) { return s.Archive(ctx, device, packet, etag) }
			return c, nil
		}
	}
	a, err := central.ArchiveOf(ctx, packet)
	if err = s.link.note(err); err != nil {
		return nil, err
	}
	switch {
	case etag == "":
		key += quoted(a.Digest)
	case etag != quoted(a.Digest):
		return nil, james.Errorf(james.KindConflict, "packet "+packet.Short(), "its archive is %s, not %s", quoted(a.Digest), etag)
	}
	from := func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return central.Archive(ctx, packet, a, offset)
	}
	h := head{quoted(a.Digest), a.Size}
	if s.tooLarge(key, a.Size) {
		return s.through(ctx, h, from), nil
	}
	return s.open(ctx, key, func(ctx context.Context, w io.Writer) error {
		if err := h.write(w); err != nil {
			return err
		}
		sum := sha256.New()
		err := s.fetch(ctx, key, &download{s: s, entry: w, w: io.MultiWriter(w, sum)}, from)
		if got := james.Digest(sum.Sum(nil)); err == nil && got != a.Digest {
			err = james.Errorf(james.KindCorrupt, "archive of packet "+packet.Short(), "what jamesd sent has digest %s", got.Short())
		}
		return err
	})
}

// Blobs returns the stream that answers req, in the form in which the first device had
// it that asked for the same; where etag is not "", the one with that ETag, or it fails
// with james.KindConflict. It fails as Manifest does.
func (s *Site) Blobs(ctx context.Context, device string, req james.BlobsRequest, etag string) (*Content, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	for i := range req.Packets {
		if err := s.permit(ctx, device, req.Packets[i].Packet); err != nil {
			return nil, err
		}
	}
	req = forward(req)
	key, err := keyOf(req)
	if err != nil {
		return nil, err
	}
	central := s.o.Central(device)
	if etag != "" {
		if c, ok := s.held(ctx, key); ok {
			if c.ETag() == etag {
				c.reopen = func() (*Content, error) { return s.Blobs(ctx, device, req, "") }
				return c, nil
			}
			c.Close()
		}
		// The device got the beginning from jamesd itself, or it was not kept.
		return s.goOn(ctx, central, req, etag), nil
	}
	if s.tooLarge(key, 0) {
		return s.begin(ctx, central, req)
	}
	return s.open(ctx, key, func(ctx context.Context, w io.Writer) error {
		d := &download{s: s, entry: w, w: w}
		return s.fetch(ctx, key, d, d.stream(central, req))
	})
}

// Offer returns what the stream that answers req would take. It fails as Manifest
// does.
func (s *Site) Offer(ctx context.Context, device string, req james.BlobsRequest) (james.BlobsOffer, error) {
	offer, err := s.o.Central(device).OfferBlobs(ctx, forward(req))
	if err = s.link.note(err); err != nil {
		return offer, err
	}
	for i := range req.Packets {
		s.permits.grant(device, req.Packets[i].Packet, s.o.Now())
	}
	return offer, nil
}

// forward returns what of a request is jamesd's to know. What else a device may say is
// of its link, which is the one to the cache.
func forward(req james.BlobsRequest) james.BlobsRequest {
	return james.BlobsRequest{Packets: req.Packets, Have: req.Have, XZ: req.XZ}
}

// keyOf names a request: devices that lack the same ask for the same. How the stream
// is compressed is not part of it, as each device goes by what it has measured last:
// what has come over the site's link is good for all of them.
func keyOf(req james.BlobsRequest) (string, error) {
	req.XZ = false
	raw, err := json.Marshal(req)
	if err != nil {
		return "", james.Errorf(james.KindInvalid, "request", "%w", err)
	}
	return "stream " + james.DigestOf(raw).String(), nil
}

func quoted(d james.Digest) string { return `"` + d.String() + `"` }

// held returns what is kept under that key, or is being fetched.
func (s *Site) held(ctx context.Context, key string) (*Content, bool) {
	e, ok := s.o.Cache.Open(ctx, key)
	if !ok {
		return nil, false
	}
	c, err := newContent(e)
	return c, err == nil
}

// open returns what is kept under that key, and has it fetched where it is not.
func (s *Site) open(ctx context.Context, key string, fetch func(ctx context.Context, w io.Writer) error) (*Content, error) {
	reopen := func() (*Content, error) {
		e, err := s.o.Cache.Fill(ctx, key, fetch)
		if err != nil {
			return nil, err
		}
		return newContent(e)
	}
	c, err := reopen()
	if james.KindOf(err) == james.KindCorrupt { // what is kept, at its very beginning
		c, err = reopen()
	}
	if err != nil {
		return nil, err
	}
	c.reopen = reopen
	return c, nil
}

// head is what is known of a content before its first byte, and kept before it.
type head struct {
	ETag string `json:"etag"`
	Size int64  `json:"size"` // bytes; -1 where that is not known
}

// maxHead bounds the line that holds a head.
const maxHead = 4 << 10

func (h head) write(w io.Writer) error {
	raw, err := json.Marshal(h)
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	if len(raw) > maxHead {
		return james.Errorf(james.KindInvalid, "jamesd", "the ETag has %d bytes", len(h.ETag))
	}
	_, err = w.Write(raw)
	return err
}

// readHead returns the head of an entry, and where its bytes begin.
func readHead(e *cache.Entry) (h head, base int64, err error) {
	var line []byte
	buf := make([]byte, maxHead)
	for len(line) < maxHead {
		n, err := e.Read(buf[:maxHead-len(line)])
		line = append(line, buf[:n]...)
		if i := bytes.IndexByte(line, '\n'); i >= 0 {
			return h, int64(i + 1), json.Unmarshal(line[:i], &h)
		}
		if err != nil {
			return h, 0, err
		}
	}
	return h, 0, errors.New("the head is not there")
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
