package supply_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// world is a fleet in memory with what makes streams for it.
type world struct {
	*supply.Supply
	t     testing.TB
	fleet *fleet.Fleet
	blobs *counting
	cache *cache.Cache
	log   *logrus.Logger
	dir   string
	limit int64
	end   func() // closes the cache
	with  func(*supply.Options)
}

func newWorld(t testing.TB, limit int64) *world {
	t.Helper()
	return newWorldOn(t, memblob.New(), limit)
}

func newWorldOn(t testing.TB, store blob.Store, limit int64) *world {
	t.Helper()
	log := logging.Discard()
	blobs := &counting{Store: store}
	var clock atomic.Int64
	f, err := fleet.New(t.Context(), fleet.Options{
		Store: memstore.New(), Blobs: blobs, Log: log,
		Now: func() time.Time { return time.Unix(1e9+clock.Add(1), 0) },
	})
	must(t, err)
	w := &world{t: t, fleet: f, blobs: blobs, log: log, dir: t.TempDir(), limit: limit}
	w.open()
	t.Cleanup(func() { w.end() })
	return w
}

// open is a start of jamesd.
func (w *world) open() {
	w.t.Helper()
	c, err := cache.Open(w.dir, w.limit)
	must(w.t, err)
	w.cache, w.end = c, func() { must(w.t, c.Close()) }
	o := supply.Options{Fleet: w.fleet, Cache: c, Log: w.log, Scratch: w.t.TempDir()}
	if w.with != nil {
		w.with(&o)
	}
	w.Supply = supply.New(o)
}

// restart ends what is being made and starts again.
func (w *world) restart() {
	w.t.Helper()
	w.end()
	w.open()
}

// counting counts how often each blob is opened.
type counting struct {
	blob.Store
	opened atomic.Int64
	// hold, where set, is called before a blob is opened.
	hold atomic.Pointer[func(context.Context, james.Digest)]
	// rot, where set, changes what is read of a blob.
	rot atomic.Pointer[func(james.Digest, []byte) error]
}

func (c *counting) Open(ctx context.Context, d james.Digest) (blob.Reader, error) {
	if hold := c.hold.Load(); hold != nil {
		(*hold)(ctx, d)
	}
	c.opened.Add(1)
	r, err := c.Store.Open(ctx, d)
	if rot := c.rot.Load(); rot != nil && err == nil {
		return &rotting{r, func(p []byte) error { return (*rot)(d, p) }}, nil
	}
	return r, err
}

type rotting struct {
	blob.Reader
	rot func([]byte) error
}

func (r *rotting) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if failed := r.rot(p[:n]); failed != nil {
		return 0, failed
	}
	return n, err
}

type contents map[string][]byte

// add adds a packet of files.
func (w *world) add(name, tags string, all contents) james.Packet {
	w.t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, path := range slices.Sorted(maps.Keys(all)) {
		must(w.t, tw.WriteHeader(&tar.Header{Name: path, Mode: 0o644, Size: int64(len(all[path])), ModTime: time.Unix(1, 0)}))
		_, err := tw.Write(all[path])
		must(w.t, err)
	}
	must(w.t, tw.Close())
	resp, err := w.fleet.AddPacket(w.t.Context(), "alice", james.AddPacketRequest{Name: name, Tags: james.MustTags(tags)}, &buf)
	must(w.t, err)
	return resp.Packet
}

// has lets devices report what they have installed.
func (w *world) has(device string, installed ...james.Packet) james.PollResponse {
	w.t.Helper()
	r := &james.DeviceReport{}
	for _, p := range installed {
		r.Apps = append(r.Apps, p.App())
	}
	resp, err := w.fleet.Poll(w.t.Context(), device, james.PollRequest{Report: r})
	must(w.t, err)
	return resp
}

func (w *world) want(device string, all ...james.Packet) {
	w.t.Helper()
	state := james.State{ID: device}
	for _, p := range all {
		state.Apps = append(state.Apps, p.App())
	}
	_, err := w.fleet.SetDesired(w.t.Context(), "alice", james.SetDesiredRequest{State: state, Force: true})
	must(w.t, err)
}

// run makes all that is needed now.
func (w *world) run() { w.Work(w.t.Context()) }

func (w *world) manifest(p james.Packet) *james.Manifest {
	w.t.Helper()
	r, err := w.fleet.OpenManifest(w.t.Context(), p.Digest)
	must(w.t, err)
	defer r.Close()
	m, err := james.DecodeManifest(r, p.Digest)
	must(w.t, err)
	return m
}

// ask returns a request for files of a packet by a device that has others.
func ask(p james.Packet, entries []int, have ...james.Packet) *james.BlobsRequest {
	req := &james.BlobsRequest{Packets: []james.Wants{{Packet: p.Digest, Entries: james.IndicesOf(entries...)}}}
	for _, h := range have {
		req.Have = append(req.Have, h.Digest)
	}
	return req
}

// got is a stream that was read.
type got struct {
	etag    string
	size    int
	raw     []byte
	pieces  []string // "PACKET/ENTRY+OFFSET", with " patch" behind
	content map[[2]int][]byte
}

// patched counts the contents that came as patches.
func (g *got) patched() int {
	n := 0
	for _, p := range g.pieces {
		if p[len(p)-1] == 'h' {
			n++
		}
	}
	return n
}

func (w *world) get(req *james.BlobsRequest) *got {
	w.t.Helper()
	s, err := w.Stream(w.t.Context(), req)
	must(w.t, err)
	defer s.Close()
	return w.read(req, s)
}

// read decodes a stream as a device does that has the packets of the request.
func (w *world) read(req *james.BlobsRequest, s *supply.Stream) *got {
	w.t.Helper()
	raw, err := io.ReadAll(s)
	must(w.t, err)
	g := &got{etag: s.ETag, size: len(raw), raw: raw, content: map[[2]int][]byte{}}
	r := stream.NewReader(bytes.NewReader(raw))
	defer r.Close()
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return g
		}
		must(w.t, err)
		src, note := r.Whole(), ""
		if h.Base != nil {
			src, note = r.Patch(bytes.NewReader(w.baseOf(req, h.Base))), " patch"
		}
		piece, err := io.ReadAll(src)
		must(w.t, err)
		g.pieces = append(g.pieces, fmt.Sprintf("%d/%d+%d%s", h.Packet, h.Entry, h.Offset, note))
		at := [2]int{h.Packet, h.Entry}
		g.content[at] = append(g.content[at], piece...)
	}
}

func (w *world) baseOf(req *james.BlobsRequest, b *stream.Base) []byte {
	w.t.Helper()
	m := w.manifest(james.Packet{Digest: req.Have[b.Have]})
	return w.content(&m.Entries[b.Entry])
}

func (w *world) content(e *james.Entry) []byte {
	w.t.Helper()
	r, err := w.fleet.OpenContent(w.t.Context(), e.Digest)
	must(w.t, err)
	defer r.Close()
	raw, err := io.ReadAll(r)
	must(w.t, err)
	return raw
}

// noisy returns bytes that do not compress.
func noisy(seed, size int) []byte {
	out, state := make([]byte, size), uint64(seed)*2+1
	for i := range out {
		state = state*6364136223846793005 + 1442695040888963407
		out[i] = byte(state >> 56)
	}
	return out
}

// edited returns a copy of b in which a byte of each piece of that size is another.
func edited(b []byte, every int) []byte {
	out := slices.Clone(b)
	for i := 0; i < len(out); i += every {
		out[i]++
	}
	return out
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
