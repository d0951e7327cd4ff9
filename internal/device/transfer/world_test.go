package transfer_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// noise returns bytes that do not compress, others for each seed.
func noise(seed uint64, size int) []byte {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(b)
	return b
}

// packet is a packet with its archive.
type packet struct {
	james.Packet
	manifest *james.Manifest
	archive  []byte
	content  map[james.Digest][]byte
}

// newPacket makes a packet of files.
func newPacket(t testing.TB, name, format string, files map[string][]byte) *packet {
	t.Helper()
	dir := t.TempDir()
	p := &packet{content: make(map[james.Digest][]byte)}
	for path, content := range files {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, path)), 0o755))
		must(t, os.WriteFile(filepath.Join(dir, path), content, 0o644))
		p.content[james.DigestOf(content)] = content
	}
	var buf bytes.Buffer
	must(t, archive.Build(t.Context(), &buf, dir, archive.BuildOptions{Format: format, Time: time.Unix(1e9, 0)}))
	p.archive = buf.Bytes()
	entries, _, err := archive.Scan(t.Context(), bytes.NewReader(p.archive), archive.DefaultLimits())
	must(t, err)
	p.manifest = &james.Manifest{Name: name, Tags: james.MustTags("v1"), Entries: entries}
	_, digest, err := p.manifest.Encode()
	must(t, err)
	p.Packet = james.Packet{Digest: digest, Name: name, Tags: p.manifest.Tags,
		Archive: james.Archive{Digest: james.DigestOf(p.archive), Size: int64(len(p.archive)), Format: format}}
	return p
}

// want returns the order's part for files of the packet, all of them where none
// is named.
func (p *packet) want(paths ...james.Path) txn.Want {
	w := txn.Want{Packet: &p.Packet, Manifest: p.manifest}
	seen := make(map[james.Digest]bool)
	for k := range p.manifest.Entries {
		e := &p.manifest.Entries[k]
		if e.Type == james.TypeFile && e.Size > 0 && !seen[e.Digest] && (paths == nil || slices.Contains(paths, e.Path)) {
			w.Entries = append(w.Entries, k)
			seen[e.Digest] = true
		}
	}
	return w
}

// entry returns the place of a path in the manifest.
func (p *packet) entry(path james.Path) int {
	return slices.IndexFunc(p.manifest.Entries, func(e james.Entry) bool { return e.Path == path })
}

func order(wants ...txn.Want) *txn.Order { return &txn.Order{Wants: wants} }

// server is a jamesd in memory.
type server struct {
	mu      sync.Mutex
	packets map[james.Digest]*packet
	streams map[string][]byte

	manifests int
	archives  []int64 // offsets that were asked for
	blobs     []int64
	requests  []james.BlobsRequest // of new streams
	served    int64                // bytes

	// Failures: of calls, of a kind of body, and of what it holds.
	down      error
	noStreams error
	noArchive error
	offer     func(james.BlobsRequest) (james.BlobsOffer, error)
	body      func(ctx context.Context, kind string, offset int64, r io.Reader) io.Reader
	damage    func(what string, b []byte) []byte
	pre       []byte
	forgetful bool // has no stream a second time
	codec     stream.Codec
	// make, where set, makes a content of a stream in place of sending it whole.
	make func(w *stream.Writer, h stream.Head, e *james.Entry, req *james.BlobsRequest) (bool, error)
}

func newServer(packets ...*packet) *server {
	s := &server{packets: make(map[james.Digest]*packet), streams: make(map[string][]byte), codec: stream.Zstd}
	for _, p := range packets {
		s.packets[p.Digest] = p
	}
	return s
}

func (s *server) get(d james.Digest) (*packet, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.packets[d]
	switch {
	case s.down != nil:
		return nil, s.down
	case p == nil:
		return nil, james.Errorf(james.KindNotFound, "packet "+d.Short(), "does not exist")
	}
	return p, nil
}

func (s *server) Manifest(_ context.Context, d james.Digest) (*james.Manifest, error) {
	p, err := s.get(d)
	if err != nil {
		return nil, err
	}
	s.manifests++
	return p.manifest, nil
}

func (s *server) ArchiveOf(_ context.Context, d james.Digest) (james.Archive, error) {
	p, err := s.get(d)
	if err != nil {
		return james.Archive{}, err
	}
	return james.Archive{Digest: p.Archive.Digest, Size: p.Archive.Size}, nil
}

func (s *server) Archive(ctx context.Context, d james.Digest, _ james.Archive, offset int64) (io.ReadCloser, error) {
	p, err := s.get(d)
	s.mu.Lock()
	s.archives = append(s.archives, offset)
	if err == nil {
		err = s.noArchive
	}
	s.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return s.send(ctx, "archive", offset, p.archive), nil
}

func (s *server) OfferBlobs(_ context.Context, req james.BlobsRequest) (james.BlobsOffer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := cmpErr(s.down, s.noStreams); err != nil {
		return james.BlobsOffer{}, err
	}
	if s.offer != nil {
		return s.offer(req)
	}
	return james.BlobsOffer{}, nil
}

func cmpErr(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *server) Blobs(ctx context.Context, req james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error) {
	if err := req.Validate(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.blobs = append(s.blobs, offset)
	if err := cmpErr(s.down, s.noStreams); err != nil {
		return nil, err
	}
	if etag != "" && (s.streams[etag] == nil || s.forgetful) {
		return nil, james.Errorf(james.KindConflict, "stream", "it is gone")
	}
	if etag == "" {
		s.requests = append(s.requests, req)
		raw, err := s.stream(&req)
		if err != nil {
			return nil, err
		}
		etag = fmt.Sprintf("%q", james.DigestOf(raw))
		s.streams[etag] = raw
	}
	raw := s.streams[etag]
	return &client.BlobStream{ReadCloser: s.send(ctx, "stream", offset, raw), ETag: etag, Size: int64(len(raw))}, nil
}

// stream makes a stream.
func (s *server) stream(req *james.BlobsRequest) ([]byte, error) {
	if s.pre != nil {
		return s.pre, nil
	}
	var buf bytes.Buffer
	w, err := stream.NewWriter(&buf, stream.Options{Codec: s.codec})
	if err != nil {
		return nil, err
	}
	for n, wants := range req.Packets {
		p := s.packets[wants.Packet]
		if p == nil {
			return nil, james.Errorf(james.KindNotFound, "packet", "does not exist")
		}
		offset := wants.Offset
		for k := range wants.Entries.All() {
			e := &p.manifest.Entries[k]
			h := stream.Head{Packet: n, Entry: k, Offset: offset, Size: e.Size - offset}
			offset = 0
			if s.make != nil {
				if done, err := s.make(w, h, e, req); done || err != nil {
					if err != nil {
						return nil, err
					}
					continue
				}
			}
			content := p.content[e.Digest]
			if s.damage != nil {
				content = s.damage(string(e.Path), bytes.Clone(content))
			}
			if err := w.Whole(h, bytes.NewReader(content[h.Offset:])); err != nil {
				return nil, err
			}
		}
	}
	err = w.Close()
	return buf.Bytes(), err
}

func (s *server) send(ctx context.Context, kind string, offset int64, raw []byte) io.ReadCloser {
	if s.damage != nil && kind == "archive" {
		raw = s.damage(kind, bytes.Clone(raw))
	}
	r := io.Reader(bytes.NewReader(raw[offset:]))
	if s.body != nil {
		r = s.body(ctx, kind, offset, r)
	}
	return io.NopCloser(&counted{s: s, r: r})
}

type counted struct {
	s *server
	r io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.served += int64(n)
	return n, err
}

// cut lets n bytes through, then the connection is lost.
func cut(r io.Reader, n int64) io.Reader { return &cutting{r, n} }

type cutting struct {
	r    io.Reader
	left int64
}

func (c *cutting) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, james.Errorf(james.KindUnavailable, "server", "the connection was lost")
	}
	n, err := c.r.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	return n, err
}

// device is where a fetcher works.
type device struct {
	t     testing.TB
	dir   string
	limit int64
	log   *logrus.Logger
	hook  *logtest.Hook
	with  func(*transfer.Options)
}

func newDevice(t testing.TB) *device {
	log, hook := logtest.NewNullLogger()
	log.SetLevel(logrus.DebugLevel)
	return &device{t: t, dir: t.TempDir(), log: log, hook: hook}
}

// start returns a new process' fetcher.
func (d *device) start(s transfer.Server) *transfer.Fetcher {
	d.t.Helper()
	state, err := disk.Open(d.dir, disk.Options{})
	must(d.t, err)
	d.t.Cleanup(func() { state.Close() })
	o := transfer.Options{Server: s, State: state, Log: d.log, Limit: d.limit}
	if d.with != nil {
		d.with(&o)
	}
	f, err := transfer.New(o)
	must(d.t, err)
	return f
}

// blob returns the file of a content.
func (d *device) blob(content []byte) string {
	return filepath.Join(d.dir, "blobs", james.DigestOf(content).String())
}

// names returns the contents that lie in the cache.
func (d *device) names() []string {
	d.t.Helper()
	all, err := os.ReadDir(filepath.Join(d.dir, "blobs"))
	must(d.t, err)
	names := make([]string, len(all))
	for i, e := range all {
		names[i] = e.Name()
	}
	return names
}

// check makes sure that what was ordered is there, every byte of it.
func (d *device) check(f *transfer.Fetcher, packets []*packet, o *txn.Order) {
	d.t.Helper()
	if n := f.Missing(o); n != 0 {
		d.t.Errorf("%d bytes are missing", n)
	}
	for i, w := range o.Wants {
		for _, k := range w.Entries {
			e := &w.Manifest.Entries[k]
			path, err := f.Content(e.Digest)
			must(d.t, err)
			got, err := os.ReadFile(f.Dir().Abs(path))
			if err != nil || !bytes.Equal(got, packets[i].content[e.Digest]) {
				d.t.Errorf("%s: %d bytes, not as they must be: %v", e.Path, len(got), err)
			}
		}
	}
}

// logged reports whether something was logged in these words.
func (d *device) logged(message string) bool {
	return slices.ContainsFunc(d.hook.AllEntries(), func(e *logrus.Entry) bool { return e.Message == message })
}
