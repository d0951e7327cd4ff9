package budget_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/e2e/linktest"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// measureLinks compares how long a device takes for the files of a packet that it
// has nothing of, when it knows nothing of its link and its processor, with the
// better of the two ways in which it may have them sent.
func measureLinks(b *testing.B, m *machine, t *table) {
	const what, budget = "fetching a packet, chosen way against the better one, ", "<= 1.1x"
	if why := cantUnpack(); why != "" {
		t.skip(what+"throttled links", budget, why)
		return
	}
	tr := m.theTree(b)
	s := m.jamesd(b, b.TempDir())
	for _, link := range []struct {
		id   string
		rate int
		size int64 // of the tree's files that the packet has, 0 for all
	}{
		{"50 kB/s", 50_000, 1_500_000},
		{"1 MB/s", 1_000_000, 25_000_000},
		{"100 MB/s", 100_000_000, 0},
	} {
		id := fmt.Sprintf("link-%d", link.rate)
		file := tr.data
		if link.size > 0 {
			file = partOf(b, tr, link.size)
		}
		m.device(b, id)
		s.add(b, "bench", id, file)
		s.want(b, id, "bench")
		p := m.fetching(b, s, id, link.rate)
		p.once(b, "stream") // the server has made it once, as for all but the first device
		var archive, stream, chosen, better []float64
		for range 3 { // in turns, as the server makes a smaller stream meanwhile
			archive = append(archive, p.once(b, "archive"))
			stream = append(stream, p.once(b, "stream"))
			chosen = append(chosen, p.once(b, "chosen"))
		}
		for i := range chosen {
			better = append(better, min(archive[i], stream[i]))
		}
		ratio := ratioOf(chosen, better)
		t.add(what+link.id, budget, ratio <= 1.1, "%.2fx (%.2f s; %.2f s by archive, %.2f s by stream)",
			ratio, median(chosen), median(archive), median(stream))
	}
}

// partOf returns an archive of as many of the tree's files as have size bytes.
func partOf(b *testing.B, tr *tree, size int64) string {
	b.Helper()
	dir := b.TempDir()
	must(b, filepath.WalkDir(tr.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() || size <= 0 {
			return err
		}
		info, err := e.Info()
		if err != nil || info.Size() > size || info.Size() > 2_000_000 {
			return err
		}
		size -= info.Size()
		raw, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(tr.dir, path)
		if err != nil {
			return err
		}
		return writeFile(filepath.Join(dir, rel), raw)
	}))
	file := filepath.Join(b.TempDir(), "packet.tar.xz")
	run(b, exec.Command("tar", "cfJ", file, "-C", dir, "."))
	return file
}

// fetching is the files of a packet behind a link.
type fetching struct {
	server *client.Client
	packet james.Packet
	rate   int
}

func (m *machine) fetching(b *testing.B, s *server, id string, rate int) *fetching {
	b.Helper()
	proxy, err := linktest.Listen(linktest.Link{Target: s.addr, Rate: rate})
	must(b, err)
	b.Cleanup(proxy.Close)
	conf, err := pki.ClientTLS(m.pki+"/ca.crt", fmt.Sprintf("%s/%s.crt", m.pki, id), fmt.Sprintf("%s/%s.key", m.pki, id))
	must(b, err)
	c, err := client.New(client.Options{Addr: proxy.Addr(), TLS: conf})
	must(b, err)
	b.Cleanup(c.Close)
	report := &james.DeviceReport{SystemTags: james.MustTags("bench"), Agent: "bench"}
	answer, err := c.Poll(b.Context(), james.PollRequest{Report: report})
	must(b, err)
	if answer.Plan == nil || len(answer.Plan.Steps) != 1 {
		b.Fatalf("the plan is %+v", answer.Plan)
	}
	return &fetching{c, *answer.Plan.Steps[0].New, rate}
}

// once returns the seconds that a new device takes for everything.
func (f *fetching) once(b *testing.B, way string) float64 {
	b.Helper()
	dir, err := os.MkdirTemp(b.TempDir(), "cache")
	must(b, err)
	defer os.RemoveAll(dir)
	state, err := disk.Open(dir, disk.Options{})
	must(b, err)
	defer state.Close()
	log := logging.Discard()
	src, err := transfer.New(transfer.Options{Server: oneWay{f.server, way}, State: state, Log: log})
	must(b, err)
	m, err := src.Manifest(b.Context(), &f.packet)
	must(b, err)
	want := txn.Want{Packet: &f.packet, Manifest: m}
	seen := make(map[james.Digest]bool)
	for k := range m.Entries {
		if e := &m.Entries[k]; e.Type == james.TypeFile && e.Size > 0 && !seen[e.Digest] {
			want.Entries = append(want.Entries, k)
			seen[e.Digest] = true
		}
	}
	begin := time.Now()
	must(b, src.Fetch(b.Context(), &txn.Order{Wants: []txn.Want{want}}))
	return time.Since(begin).Seconds()
}

// oneWay is a server that has only one of the ways, unless it is "chosen".
type oneWay struct {
	*client.Client
	way string
}

func (o oneWay) OfferBlobs(ctx context.Context, req james.BlobsRequest) (james.BlobsOffer, error) {
	if o.way == "archive" {
		return james.BlobsOffer{}, james.Errorf(james.KindNotFound, "stream", "this server has none")
	}
	return o.Client.OfferBlobs(ctx, req)
}

func (o oneWay) Archive(ctx context.Context, packet james.Digest, a james.Archive, offset int64) (io.ReadCloser, error) {
	if o.way == "stream" {
		return nil, james.Errorf(james.KindNotFound, "archive", "this server has none")
	}
	return o.Client.Archive(ctx, packet, a, offset)
}
