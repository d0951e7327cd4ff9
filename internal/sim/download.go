package sim

import (
	"context"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/pkg/james"
)

// download gets what a plan brings, and throws it away.
func (d *device) download(ctx context.Context, plan *james.Plan) error {
	if d.fleet.s.download == downloadNone {
		return nil
	}
	var brought []*james.Packet
	for i := range plan.Steps {
		if p := plan.Steps[i].New; p != nil {
			brought = append(brought, p)
		}
	}
	for _, p := range brought {
		if err := d.manifest(ctx, p.Digest); err != nil {
			return err
		}
		if d.fleet.s.download == downloadArchive {
			if err := d.discard(ctx, &request{method: http.MethodGet, path: "/v1/packets/" + p.Digest.String() + "/archive",
				header: []string{`If-Match: "` + p.Archive.Digest.String() + `"`}, kind: downloadKind}); err != nil {
				return err
			}
		}
	}
	if d.fleet.s.download == downloadArchive {
		return nil
	}
	req := d.wanted(brought)
	if len(req.Packets) == 0 {
		return nil
	}
	return d.discard(ctx, &request{method: http.MethodPost, path: "/v1/blobs", body: encode(req), kind: downloadKind})
}

// manifest gets one, as an agent does. Its meaning is read once for the whole fleet.
func (d *device) manifest(ctx context.Context, packet james.Digest) error {
	r := &request{method: http.MethodGet, path: "/v1/packets/" + packet.String() + "/manifest", kind: manifestKind}
	return d.ask(ctx, r, func(_ wire.Answer, body io.Reader) error {
		return d.fleet.manifests.read(packet, d.counting(body))
	})
}

// wanted returns a request for the contents of all files of packets.
func (d *device) wanted(packets []*james.Packet) *james.BlobsRequest {
	req := &james.BlobsRequest{Fast: d.role != slow}
	for _, p := range packets {
		if files := d.fleet.manifests.files(p.Digest); !files.IsZero() {
			req.Packets = append(req.Packets, james.Wants{Packet: p.Digest, Entries: files})
		}
	}
	for _, a := range d.apps {
		if slices.ContainsFunc(packets, func(p *james.Packet) bool { return p.Name == a.Name }) {
			req.Have = append(req.Have, a.Digest)
		}
	}
	return req
}

// discard makes a request whose answer is a download.
func (d *device) discard(ctx context.Context, r *request) error {
	return d.ask(ctx, r, func(_ wire.Answer, body io.Reader) error {
		_, err := io.Copy(io.Discard, d.counting(d.moving(body)))
		return err
	})
}

// counting counts the bytes of contents.
func (d *device) counting(r io.Reader) io.Reader { return &counter{r, d.m} }

type counter struct {
	io.Reader
	m *measure
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.m.content.Add(int64(n))
	return n, err
}

// moving gives each piece of a download --timeout, in place of the whole.
func (d *device) moving(r io.Reader) io.Reader {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &mover{r, d.conn, d.fleet.s.timeout}
}

type mover struct {
	io.Reader
	conn  *wire.Conn
	limit time.Duration
}

func (m *mover) Read(p []byte) (int, error) {
	if m.conn != nil {
		if err := m.conn.Within(m.limit); err != nil {
			return 0, err
		}
	}
	return m.Reader.Read(p)
}

// paced has a slow device read its answers slowly.
func (d *device) paced(ctx context.Context, r io.Reader) io.Reader {
	if d.role != slow {
		return r
	}
	return &pacer{ctx, r, int64(d.fleet.s.slowRate)}
}

type pacer struct {
	ctx  context.Context
	src  io.Reader
	rate int64 // bytes a second
}

// slowPiece is what a slow device reads at once at most, in bytes.
const slowPiece = 1 << 10

func (p *pacer) Read(b []byte) (int, error) {
	n, err := p.src.Read(b[:min(int64(len(b)), slowPiece, 1+p.rate/4)])
	if err == nil {
		err = backoff.Sleep(p.ctx, time.Duration(int64(n)*int64(time.Second)/p.rate))
	}
	return n, err
}

// manifests are those that the fleet has got, each read once.
type manifests struct {
	mu    sync.Mutex
	known map[james.Digest]james.Indices // the files with contents
}

// read reads a manifest to its end. It fails with KindCorrupt for one that is not that
// of the packet.
func (m *manifests) read(packet james.Digest, body io.Reader) error {
	m.mu.Lock()
	_, known := m.known[packet]
	m.mu.Unlock()
	if known {
		_, err := io.Copy(io.Discard, body)
		return err
	}
	manifest, err := james.DecodeManifest(body, packet)
	if err != nil {
		return err
	}
	var files []int
	seen := make(map[james.Digest]bool)
	for i := range manifest.Entries {
		if e := &manifest.Entries[i]; e.Type == james.TypeFile && e.Size > 0 && !seen[e.Digest] {
			seen[e.Digest] = true
			files = append(files, i)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[packet] = james.IndicesOf(files...)
	return nil
}

// files returns which entries of a manifest that was read have contents.
func (m *manifests) files(packet james.Digest) james.Indices {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known[packet]
}
