package site_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// world is a site with its jamesd, which is a few maps.
type world struct {
	dir   string
	cache *cache.Cache
	site  *site.Site
	now   time.Time

	mu       sync.Mutex
	allowed  map[string]bool // device and packet
	manifest *james.Manifest
	packet   james.Digest
	archive  []byte
	stream   []byte
	etag     string
	named    bool // streams have an ETag
	sized    bool // and their size is known
	down     error
	cutAfter int // bytes after which a connection is lost; 0 for never
	gate     chan struct{}
	asked    map[string]int
	sent     int
}

func noise(seed uint64, n int) []byte {
	out := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(out)
	return out
}

func newWorld(t *testing.T, limit int64) *world {
	t.Helper()
	w := &world{
		dir: t.TempDir(), now: time.Unix(1e9, 0), allowed: map[string]bool{}, asked: map[string]int{},
		archive: noise(1, 300_000), stream: noise(2, 200_000), etag: `"first"`, named: true,
		manifest: &james.Manifest{Name: "p", Entries: []james.Entry{{Path: "f", Type: james.TypeFile, Mode: 0o644, Size: 1, Digest: james.DigestOf([]byte("x"))}}},
	}
	var err error
	_, w.packet, err = w.manifest.Encode()
	must(t, err)
	w.open(t, limit)
	for _, device := range []string{"a", "b"} {
		w.allow(device)
	}
	return w
}

// open starts the site, again if it runs.
func (w *world) open(t *testing.T, limit int64) {
	t.Helper()
	if w.cache != nil {
		must(t, w.cache.Close())
	}
	c, err := cache.Open(w.dir, limit)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	w.cache = c
	log, _ := logtest.NewNullLogger()
	w.site = site.New(site.Options{
		Central: func(device string) site.Central { return &central{w, device} }, Cache: c, Log: log,
		Now:   func() time.Time { return w.now },
		Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
	})
}

func (w *world) allow(device string) { w.allowed[device] = true }

func (w *world) count(what string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked[what]
}

func (w *world) request() james.BlobsRequest {
	return james.BlobsRequest{Packets: []james.Wants{{Packet: w.packet, Entries: james.IndicesOf(0)}}}
}

// damage flips a byte of every file of the cache at that offset.
func (w *world) damage(t *testing.T, offset int64) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(w.dir, "*-*"))
	must(t, err)
	for _, name := range files {
		f, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		b := make([]byte, 1)
		_, err = f.ReadAt(b, offset)
		must(t, err)
		b[0] ^= 1
		_, err = f.WriteAt(b, offset)
		must(t, errors.Join(err, f.Close()))
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantKind(t *testing.T, err error, kind james.Kind) {
	t.Helper()
	if james.KindOf(err) != kind {
		t.Errorf("error %v of kind %q, want %q", err, james.KindOf(err), kind)
	}
}

// read returns all of a content from offset on.
func read(t *testing.T, c *site.Content, err error, offset int64) []byte {
	t.Helper()
	must(t, err)
	defer c.Close()
	_, err = c.Seek(offset, io.SeekStart)
	must(t, err)
	got, err := io.ReadAll(c)
	must(t, err)
	return got
}

func same(t *testing.T, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("got %d bytes of %d, or others", len(got), len(want))
	}
}

// central is the jamesd as it answers for one device.
type central struct {
	w      *world
	device string
}

func (c *central) begin(what string) error {
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	c.w.asked[what]++
	switch {
	case c.w.down != nil:
		return c.w.down
	case !c.w.allowed[c.device]:
		return &james.Error{Op: "do that", Kind: james.KindDenied, Subject: "packet", Err: errors.New("is none of its business")}
	}
	return nil
}

func (c *central) MayFetch(context.Context, james.Digest) error { return c.begin("may") }

func (c *central) Manifest(context.Context, james.Digest) (*james.Manifest, error) {
	if err := c.begin("manifest"); err != nil {
		return nil, err
	}
	return c.w.manifest, nil
}

func (c *central) ArchiveOf(context.Context, james.Digest) (james.Archive, error) {
	err := c.begin("archive of")
	return james.Archive{Digest: james.DigestOf(c.w.archive), Size: int64(len(c.w.archive))}, err
}

func (c *central) Archive(_ context.Context, _ james.Digest, _ james.Archive, offset int64) (io.ReadCloser, error) {
	if err := c.begin("archive"); err != nil {
		return nil, err
	}
	return c.body(c.w.archive[offset:]), nil
}

func (c *central) Blobs(_ context.Context, _ james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error) {
	if err := c.begin("blobs"); err != nil {
		return nil, err
	}
	c.w.mu.Lock()
	defer c.w.mu.Unlock()
	if offset > 0 && etag == "" {
		return nil, james.Errorf(james.KindInvalid, "stream", "it has no name")
	}
	if etag != "" && etag != c.w.etag {
		return nil, james.Errorf(james.KindConflict, "stream", "it is %s, not %s", c.w.etag, etag)
	}
	s := &client.BlobStream{ReadCloser: c.body(c.w.stream[offset:]), Size: -1}
	if c.w.named {
		s.ETag = c.w.etag
	}
	if c.w.sized {
		s.Size = int64(len(c.w.stream))
	}
	return s, nil
}

func (c *central) OfferBlobs(context.Context, james.BlobsRequest) (james.BlobsOffer, error) {
	err := c.begin("offer")
	return james.BlobsOffer{Size: int64(len(c.w.stream)), Exact: true}, err
}

func (c *central) body(b []byte) io.ReadCloser { return &body{w: c.w, rest: b, left: c.w.cutAfter} }

// body is an answer that may be cut.
type body struct {
	w    *world
	rest []byte
	left int
}

func (b *body) Read(p []byte) (int, error) {
	if b.w.gate != nil {
		<-b.w.gate
	}
	if len(b.rest) == 0 {
		return 0, io.EOF
	}
	if b.w.cutAfter > 0 {
		if b.left == 0 {
			return 0, james.Errorf(james.KindUnavailable, "jamesd", "the connection was lost")
		}
		p = p[:min(len(p), b.left)]
	}
	n := copy(p[:min(len(p), 10_000)], b.rest)
	b.rest, b.left = b.rest[n:], b.left-n
	b.w.mu.Lock()
	b.w.sent += n
	b.w.mu.Unlock()
	return n, nil
}

func (b *body) Close() error { return nil }
