package api_test

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// gate is a store of blobs that lets one of them be read only so far.
type gate struct {
	blob.Store
	mu     sync.Mutex
	digest james.Digest
	limit  int64
	err    error // in place of what lies beyond, nil to wait for it
	open   chan struct{}
}

func (g *gate) close(d james.Digest, limit int64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.digest, g.limit, g.err, g.open = d, limit, err, make(chan struct{})
}

func (g *gate) release() { close(g.open) }

func (g *gate) Open(ctx context.Context, d james.Digest) (blob.Reader, error) {
	r, err := g.Store.Open(ctx, d)
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil || d != g.digest {
		return r, err
	}
	return &gated{Reader: r, ctx: ctx, limit: g.limit, err: g.err, open: g.open}, nil
}

type gated struct {
	blob.Reader
	ctx   context.Context
	read  int64
	limit int64
	err   error
	open  <-chan struct{}
}

func (g *gated) Read(p []byte) (int, error) {
	if g.read >= g.limit {
		if g.err != nil {
			return 0, g.err
		}
		select {
		case <-g.open:
			return g.Reader.Read(p)
		case <-g.ctx.Done():
			return 0, g.ctx.Err()
		}
	}
	n, err := g.Reader.Read(p[:min(int64(len(p)), g.limit-g.read)])
	g.read += int64(n)
	return n, err
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

// files uploads a packet of files that are named by their place.
func (w *world) files(t testing.TB, name, tags string, contents ...[]byte) james.Packet {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for i, content := range contents {
		must(t, tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("f%d", i), Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1, 0)}))
		_, err := tw.Write(content)
		must(t, err)
	}
	must(t, tw.Close())
	resp, err := w.client(t, "root").AddPacket(t.Context(), james.AddPacketRequest{Name: name, Tags: james.MustTags(tags)}, &buf)
	must(t, err)
	return resp.Packet
}

// wants lets a device want a packet, and returns what it asks for then.
func (w *world) wants(t testing.TB, device string, p james.Packet, entries ...int) james.BlobsRequest {
	t.Helper()
	w.want(t, device, p.App())
	_, err := w.client(t, device).Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	return james.BlobsRequest{Packets: []james.Wants{{Packet: p.Digest, Entries: james.IndicesOf(entries...)}}}
}

func body(t testing.TB, req james.BlobsRequest) io.Reader {
	t.Helper()
	raw, err := json.Marshal(req)
	must(t, err)
	return bytes.NewReader(raw)
}

func (w *world) askBlobs(t testing.TB, device string, req james.BlobsRequest, header ...string) reply {
	t.Helper()
	h := http.Header{"Content-Type": {"application/json"}}
	for pair := range slices.Chunk(header, 2) {
		h.Set(pair[0], pair[1])
	}
	return w.ask(t, transport(t, device), "POST", "/v1/blobs", h, body(t, req))
}

func readAll(t testing.TB, s *client.BlobStream, err error) []byte {
	t.Helper()
	must(t, err)
	defer s.Close()
	raw, err := io.ReadAll(s)
	must(t, err)
	return raw
}

// TestBlobsRanges: each range of a stream that is whole is exactly that.
func TestBlobsRanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := w.wants(t, "device-1", w.files(t, "p", "v1", noisy(1, 300_000)), 0)
	first := w.askBlobs(t, "device-1", req)
	etag, n := first.Header.Get("Etag"), len(first.body)
	if first.StatusCode != 200 || first.Header.Get("Accept-Ranges") != "bytes" || first.Header.Get("Content-Type") != "application/octet-stream" || n < 300_000 {
		t.Fatalf("%d, %v, %d bytes", first.StatusCode, first.Header, n)
	}
	for _, row := range []struct {
		name   string
		header []string
		status int
		from   int
		to     int
		total  string
	}{
		{"whole", nil, 200, 0, n, ""},
		{"the same", []string{"If-Match", etag}, 200, 0, n, ""},
		{"whatever there is", []string{"If-Match", "*"}, 200, 0, n, ""},
		{"the rest", []string{"Range", "bytes=100000-"}, 206, 100_000, n, ""},
		{"the rest of the same", []string{"Range", "bytes=100000-", "If-Match", etag}, 206, 100_000, n, ""},
		{"the rest if the same", []string{"Range", "bytes=100000-", "If-Range", etag}, 206, 100_000, n, ""},
		{"from the start", []string{"Range", "bytes=0-", "If-Match", etag}, 206, 0, n, ""},
		{"a part", []string{"Range", "bytes=5-9"}, 206, 5, 10, ""},
		{"beyond the end", []string{"Range", "bytes=299999-999999999"}, 206, 299_999, n, ""},
		{"nothing is left", []string{"Range", fmt.Sprintf("bytes=%d-", n), "If-Match", etag}, 206, n, n, ""},
		{"another, if the same", []string{"Range", "bytes=100000-", "If-Range", `"x"`}, 200, 0, n, ""},
		{"another of the right form, if the same", []string{"Range", "bytes=100000-", "If-Range", strings.Replace(etag, "-", "-0", 1)}, 200, 0, n, ""},
		{"several", []string{"Range", "bytes=0-1,4-5"}, 200, 0, n, ""},
		{"the last ones", []string{"Range", "bytes=-5"}, 200, 0, n, ""},
		{"in other units", []string{"Range", "lines=1-2"}, 200, 0, n, ""},
		{"backwards", []string{"Range", "bytes=9-5"}, 200, 0, n, ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := w.askBlobs(t, "device-1", req, row.header...)
			if got.StatusCode != row.status || !bytes.Equal(got.body, first.body[row.from:row.to]) || got.Header.Get("Etag") != etag {
				t.Errorf("%d, %d bytes, %v", got.StatusCode, len(got.body), got.Header)
			}
			want := ""
			if row.status == 206 {
				want = fmt.Sprintf("bytes %d-%d/%d", row.from, row.to-1, n)
			}
			if got.Header.Get("Content-Range") != want || got.ContentLength != int64(row.to-row.from) {
				t.Errorf("%q of %d bytes, want %q", got.Header.Get("Content-Range"), got.ContentLength, want)
			}
		})
	}
	for status, header := range map[int][]string{
		412: {"If-Match", `"0123456789abcdef0123456789abcdef-x"`},
		416: {"Range", fmt.Sprintf("bytes=%d-", n+1)},
	} {
		if got := w.askBlobs(t, "device-1", req, header...); got.StatusCode != status || got.problem.Op != "get contents" || got.Header.Get("Etag") != "" {
			t.Errorf("%v: %d %s", header, got.StatusCode, got.body)
		}
	}
	less := james.BlobsRequest{Packets: slices.Clone(req.Packets)}
	less.Packets[0].Offset = 1 // an ETag is one of what was wanted
	if got := w.askBlobs(t, "device-1", less, "If-Match", etag); got.StatusCode != 412 {
		t.Errorf("another request under the same ETag: %d", got.StatusCode)
	}
}

// TestBlobsRefused: what cannot be had is refused, in words.
func TestBlobsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mine := w.files(t, "mine", "v1", []byte("content"))
	foreign := w.files(t, "foreign", "v1", []byte("secret"))
	dir := w.dir(t, "dir", "v1")
	w.wants(t, "device-2", foreign, 0)
	w.want(t, "device-1", mine.App(), dir.App())
	_, err := w.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	of := func(d james.Digest, entries string) string {
		return fmt.Sprintf(`{"packet":%q,"entries":%q}`, d, entries)
	}
	for _, row := range []struct {
		name, body string
		status     int
		detail     string
	}{
		{"not JSON", "?", 400, "malformed JSON"},
		{"nothing", `{"packets":[]}`, 400, "nothing is wanted"},
		{"no entries", `{"packets":[` + of(mine.Digest, "") + `]}`, 400, "none of its entries"},
		{"no such entry", `{"packets":[` + of(mine.Digest, "0-1") + `]}`, 400, "there is no entry 1, it has 1"},
		{"a directory", `{"packets":[` + of(dir.Digest, "0") + `]}`, 400, "entry 0, d, is a dir"},
		{"beyond a file", `{"packets":[{"packet":"` + mine.Digest.String() + `","entries":"0","offset":8}]}`, 400, "has 7 bytes, and the rest from 8 on"},
		{"a foreign packet", `{"packets":[` + of(foreign.Digest, "0") + `]}`, 403, "neither installed on device-1 nor about to be"},
		{"a foreign packet among others", `{"packets":[` + of(mine.Digest, "0") + "," + of(foreign.Digest, "0") + `]}`, 403, "neither installed"},
		{"a foreign packet in an offer", `{"offer":true,"packets":[` + of(foreign.Digest, "0") + `]}`, 403, "neither installed"},
		{"an unknown packet", `{"packets":[` + of(james.DigestOf(nil), "0") + `]}`, 403, "neither installed"},
		{"too much", `{"packets":["` + strings.Repeat("x", 5<<20) + `"]}`, 413, "larger than"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got := w.ask(t, transport(t, "device-1"), "POST", "/v1/blobs", jsonBody, strings.NewReader(row.body))
			if got.StatusCode != row.status || !strings.Contains(got.problem.Detail, row.detail) || got.problem.Op != "get contents" {
				t.Errorf("%d %s", got.StatusCode, got.body)
			}
		})
	}
}

// dir uploads a packet of one directory.
func (w *world) dir(t testing.TB, name, tags string) james.Packet {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	must(t, tw.WriteHeader(&tar.Header{Name: "d/", Typeflag: tar.TypeDir, Mode: 0o755, ModTime: time.Unix(1, 0)}))
	must(t, tw.Close())
	resp, err := w.client(t, "root").AddPacket(t.Context(), james.AddPacketRequest{Name: name, Tags: james.MustTags(tags)}, &buf)
	must(t, err)
	return resp.Packet
}

func gatedWorld(t testing.TB, change ...func(*api.Options)) (*world, *gate) {
	g := &gate{Store: memblob.New()}
	return newWorldOn(t, g, change...), g
}

// TestBlobsFollow: a stream is read while it is made, from its start and from the
// middle, also by others; what is there does not wait for what is not.
func TestBlobsFollow(t *testing.T) {
	t.Parallel()
	w, g := gatedWorld(t)
	content := noisy(1, 3<<20)
	p := w.files(t, "p", "v1", content)
	req := w.wants(t, "device-1", p, 0)
	w.wants(t, "device-2", p, 0)
	g.close(james.DigestOf(content), 2<<20, nil)

	first, err := w.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	must(t, err)
	if first.Size != -1 || first.ETag == "" {
		t.Fatalf("a stream of %d bytes, %q", first.Size, first.ETag)
	}
	start := make([]byte, 1<<20)
	_, err = io.ReadFull(first, start)
	must(t, err)
	first.Close() // cut off; the making goes on

	rest, err := w.client(t, "device-1").Blobs(t.Context(), req, first.ETag, 1<<20)
	must(t, err)
	if rest.Size != -1 {
		t.Errorf("the rest is of %d bytes", rest.Size)
	}
	other, err := w.client(t, "device-2").Blobs(t.Context(), req, "", 0)
	must(t, err)
	if other.ETag != first.ETag {
		t.Errorf("two devices got %s and %s", first.ETag, other.ETag)
	}
	part := w.askBlobs(t, "device-2", req, "Range", "bytes=1048576-1048579")
	if part.StatusCode != 206 || part.Header.Get("Content-Range") != "bytes 1048576-1048579/*" || len(part.body) != 4 {
		t.Errorf("%d %v", part.StatusCode, part.Header)
	}
	g.release()
	whole := readAll(t, other, nil)
	if got := slices.Concat(start, readAll(t, rest, nil)); !bytes.Equal(got, whole) {
		t.Errorf("%d bytes in two parts, %d in one", len(got), len(whole))
	}
	if !bytes.Equal(part.body, whole[1<<20:][:4]) {
		t.Errorf("the part was %x", part.body)
	}
	again, err := w.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	must(t, err)
	if again.Size != int64(len(whole)) || again.ETag != first.ETag || !bytes.Equal(readAll(t, again, nil), whole) {
		t.Errorf("it came again with %d bytes, %s", again.Size, again.ETag)
	}
}

// TestBlobsBeyond: a range that begins where there is nothing yet waits, and is
// refused where there never will be anything.
func TestBlobsBeyond(t *testing.T) {
	t.Parallel()
	w, g := gatedWorld(t)
	content := noisy(1, 1<<20)
	req := w.wants(t, "device-1", w.files(t, "p", "v1", content), 0)
	g.close(james.DigestOf(content), 1<<19, nil)
	first, err := w.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	must(t, err)
	defer first.Close()
	answers := make(chan string, 3)
	for _, r := range []string{"bytes=1000000-", "bytes=1000000-1000003", "bytes=9000000-"} {
		go func() {
			got := w.askBlobs(t, "device-1", req, "Range", r, "If-Match", first.ETag)
			answers <- fmt.Sprintf("%s: %d %s %d", r, got.StatusCode, got.Header.Get("Content-Range"), len(got.body))
		}()
	}
	g.release()
	whole := int64(len(readAll(t, first, nil)))
	got := []string{<-answers, <-answers, <-answers}
	slices.Sort(got)
	for i, want := range [][]string{
		{fmt.Sprintf("bytes=1000000-1000003: 206 bytes 1000000-1000003/%d 4", whole), "bytes=1000000-1000003: 206 bytes 1000000-1000003/* 4"},
		{fmt.Sprintf("bytes=1000000-: 206 bytes 1000000-%d/%d %d", whole-1, whole, whole-1_000_000), fmt.Sprintf("bytes=1000000-: 206 bytes 1000000-*/* %d", whole-1_000_000)},
		{fmt.Sprintf("bytes=9000000-: 416 bytes */%d", whole)},
	} {
		if !slices.ContainsFunc(want, func(s string) bool { return strings.HasPrefix(got[i], s) }) {
			t.Errorf("got %q, want one of %q", got[i], want)
		}
	}
}

// TestBlobsBroken: a stream whose making fails in the middle does not look whole,
// and is not kept.
func TestBlobsBroken(t *testing.T) {
	t.Parallel()
	w, g := gatedWorld(t)
	content := noisy(1, 3<<20)
	req := w.wants(t, "device-1", w.files(t, "p", "v1", content), 0)
	g.close(james.DigestOf(content), 2<<20, james.Errorf(james.KindUnavailable, "blob", "is away"))
	s, err := w.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	must(t, err)
	defer s.Close()
	if _, err := io.Copy(io.Discard, s); james.KindOf(err) != james.KindUnavailable {
		t.Errorf("it ended with %v", err)
	}
	if _, err := w.client(t, "device-1").Blobs(t.Context(), req, s.ETag, 1); james.KindOf(err) != james.KindConflict {
		t.Errorf("going on: %v", err)
	}
	g.close(james.Digest{}, 0, nil)
	again, err := w.client(t, "device-1").Blobs(t.Context(), req, "", 0)
	if raw := readAll(t, again, err); len(raw) < len(content) || again.ETag == s.ETag {
		t.Errorf("made again: %d bytes, %s after %s", len(raw), again.ETag, s.ETag)
	}
}

// TestBlobsOffer: an offer is made without the stream, and exact with it.
func TestBlobsOffer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := w.wants(t, "device-1", w.files(t, "p", "v1", noisy(1, 100_000), noisy(2, 100_000)), 0, 1)
	c := w.client(t, "device-1")
	offer, err := c.OfferBlobs(t.Context(), req)
	if err != nil || offer.Exact || offer.Whole != 2 || offer.Patched != 0 || offer.Size < 200_000 || offer.Size > 220_000 {
		t.Errorf("%+v, %v", offer, err)
	}
	s, err := c.Blobs(t.Context(), req, "", 0)
	size := len(readAll(t, s, err))
	offer, err = c.OfferBlobs(t.Context(), req)
	if want := (james.BlobsOffer{Size: int64(size), Exact: true, Whole: 2}); err != nil || offer != want {
		t.Errorf("%+v, %v, want %+v", offer, err, want)
	}
}
