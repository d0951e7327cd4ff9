package transfer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// TestChoice: what is remembered of the link and the processor decides how a
// transfer begins.
func TestChoice(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatXz, map[string][]byte{"a": noise(1, 200_000)})
	size := int64(len(p.archive))
	for _, row := range []struct {
		name   string
		rates  string
		offer  int64
		stream bool
		xz     bool
	}{
		{"nothing is known, the archive is smaller", `{}`, size * 5 / 4, false, false},
		{"nothing is known, the stream is smaller", `{}`, size / 2, true, false},
		{"nothing is known nor offered", `{}`, 0, true, false},
		{"a slow link", `{"link":50000,"decode":{"xz":15000000,"stream":225000000}}`, size * 5 / 4, false, true},
		{"a fast link", `{"link":1e8,"decode":{"xz":15000000,"stream":225000000}}`, size * 5 / 4, true, false},
		{"a fast link, all that is known", `{"link":1e8}`, size * 5 / 4, true, false},
		{"a slow processor", `{"link":1e6,"decode":{"xz":500000}}`, size * 5 / 4, true, false},
		{"a slow link for patches", `{"link":50000,"decode":{"xz":15000000,"stream":225000000}}`, size / 5, true, true},
		{"memory that makes no sense", `{"link":-1}`, size * 5 / 4, false, false},
		{"memory of something else", `[]`, size * 5 / 4, false, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			must(t, os.WriteFile(d.dir+"/"+transfer.RatesFile, []byte(row.rates), 0o600))
			var asked james.BlobsRequest
			s.offer = func(req james.BlobsRequest) (james.BlobsOffer, error) {
				asked = req
				return james.BlobsOffer{Size: row.offer}, nil
			}
			f, o := d.start(s), order(p.want())
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			if (len(s.requests) > 0) != row.stream || (len(s.archives) > 0) == row.stream {
				t.Errorf("%d archives and %d streams were fetched", len(s.archives), len(s.requests))
			}
			if asked.XZ != row.xz || row.stream && s.requests[0].XZ != row.xz {
				t.Errorf("a stream in xz: %v", asked.XZ)
			}
		})
	}
}

// TestFast: a stream that is larger and sent at once is asked for where that is worth it.
func TestFast(t *testing.T) {
	t.Parallel()
	large := newPacket(t, "p", archive.FormatTar, map[string][]byte{"a": noise(1, 9<<20)})
	little := newPacket(t, "p", archive.FormatTar, map[string][]byte{"a": noise(1, 1<<20)})
	for _, row := range []struct {
		name, rates string
		packet      *packet
		metered     bool
		want        bool
	}{
		{"a fast link", `{"link":1e8}`, large, false, true},
		{"little to fetch", `{"link":1e8}`, little, false, false},
		{"a link that is not fast", `{"link":5e6}`, large, false, false},
		{"a link that is not known", `{}`, large, false, false},
		{"a fast link that is paid for by the byte", `{"link":1e8}`, large, true, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(row.packet), newDevice(t)
			var asked []bool
			s.offer = func(req james.BlobsRequest) (james.BlobsOffer, error) {
				asked = append(asked, req.Fast)
				return james.BlobsOffer{Size: 1}, nil
			}
			d.with = func(o *transfer.Options) { o.Metered = func() bool { return row.metered } }
			must(t, os.WriteFile(d.dir+"/"+transfer.RatesFile, []byte(row.rates), 0o600))
			f, o := d.start(s), order(row.packet.want())
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{row.packet}, o)
			if len(asked) == 0 || asked[0] != row.want || len(s.requests) > 0 && s.requests[0].Fast != row.want {
				t.Errorf("a stream at once: %v", asked)
			}
		})
	}
}

// TestSecondThoughts: a transfer that began the slower way goes on the other, and
// fetches nothing a second time but the content that was on its way.
func TestSecondThoughts(t *testing.T) {
	t.Parallel()
	contents := make(map[string][]byte)
	for n := range 40 {
		contents[fmt.Sprintf("f%02d", n)] = noise(uint64(n), 50_000)
	}
	p := newPacket(t, "p", archive.FormatTar, contents)
	for name, row := range map[string]struct {
		offer int64
		slow  string
		twice bool
	}{
		"from the archive": {3_000_000, "archive", false},
		"from the stream":  {1_000_000, "stream", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer = offers(row.offer)
			must(t, os.WriteFile(d.dir+"/"+transfer.RatesFile, []byte(`{"link":1e6}`), 0o600))
			if row.slow == "archive" {
				// What decides is how fast xz is decoded: the test says that it is xz.
				p := *p
				p.Archive.Format = "xz"
				must(t, os.WriteFile(d.dir+"/"+transfer.RatesFile, []byte(`{"decode":{"xz":200000,"stream":1e9}}`), 0o600))
				s.packets[p.Digest] = &p
			}
			s.body = func(ctx context.Context, kind string, _ int64, r io.Reader) io.Reader {
				if kind == row.slow && kind == "stream" {
					return slow(ctx, r, 100_000)
				}
				return slow(ctx, r, 1_000_000)
			}
			synctest.Test(t, func(t *testing.T) {
				f, o := d.start(s), order(s.packets[p.Digest].want())
				must(t, f.Fetch(t.Context(), o))
				d.check(f, []*packet{p}, o)
			})
			if !d.logged("the other way is quicker") {
				t.Error("it did not change its mind")
			}
			if !row.twice && s.served > 2_000_000+700_000 {
				t.Errorf("%d bytes were served", s.served)
			}
		})
	}
}

// TestNoSecondThoughts: what only seems to be the slower way is not left.
func TestNoSecondThoughts(t *testing.T) {
	t.Parallel()
	uneven := map[string][]byte{"a": bytes.Repeat([]byte("all the same "), 300_000), "b": noise(1, 800_000)}
	even := map[string][]byte{"a": noise(1, 200_000), "b": noise(2, 200_000)}
	for _, row := range []struct {
		name, format string
		contents     map[string][]byte
		way          string
		offer        int64
		rates        string
		rate         int
	}{
		{"what is left of the archive compresses least", archive.FormatXz, uneven, "archive", 1_000_000, `{"link":1e5,"decode":{"xz":1e8,"stream":1e8}}`, 100_000},
		{"the link is not what it was", archive.FormatTar, even, "stream", 300_000, `{"link":1e8,"decode":{"stream":1e9,"tar":1e9}}`, 20_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPacket(t, "p", row.format, row.contents)
			s, d := newServer(p), newDevice(t)
			s.offer = offers(row.offer)
			must(t, os.WriteFile(d.dir+"/"+transfer.RatesFile, []byte(row.rates), 0o600))
			s.body = func(ctx context.Context, kind string, _ int64, r io.Reader) io.Reader {
				if kind != row.way {
					t.Errorf("it is fetched by %s", kind)
				}
				return slow(ctx, r, row.rate)
			}
			synctest.Test(t, func(t *testing.T) {
				f, o := d.start(s), order(p.want())
				must(t, f.Fetch(t.Context(), o))
				d.check(f, []*packet{p}, o)
			})
		})
	}
}

// TestRemembers: a link and decoders are measured, and remembered.
func TestRemembers(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	s.offer = offers(1 << 30)
	s.body = func(ctx context.Context, _ string, _ int64, r io.Reader) io.Reader { return slow(ctx, r, 100_000) }
	synctest.Test(t, func(t *testing.T) {
		must(t, d.start(s).Fetch(t.Context(), order(p.want())))
	})
	var known struct{ Link float64 }
	raw, err := os.ReadFile(d.dir + "/" + transfer.RatesFile)
	must(t, err)
	must(t, json.Unmarshal(raw, &known))
	if known.Link < 95_000 || known.Link > 105_000 {
		t.Errorf("remembered %s", raw)
	}
}

// TestRemembersDecoder: which decoder was measured says the stream that came, not the
// wish.
func TestRemembersDecoder(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, map[string][]byte{"a": noise(1, 100_000), "b": noise(2, 100_000)})
	for _, row := range []struct {
		name, rates string
		codec       stream.Codec
		want        string
	}{
		{"zstd, as it would have it", `{"link":1e8}`, stream.Zstd, "stream"},
		{"zstd, where xz would do", `{"link":1e4}`, stream.Zstd, "stream"},
		{"xz, where it would do", `{"link":1e4}`, stream.XZ, "stream-xz"},
		{"xz all the same", `{"link":1e8}`, stream.XZ, "stream-xz"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.codec = row.codec
			must(t, os.WriteFile(d.dir+"/"+transfer.RatesFile, []byte(row.rates), 0o600))
			var ticks atomic.Int64
			d.with = func(o *transfer.Options) {
				o.Now = func() time.Time { return time.Unix(0, ticks.Add(1)*int64(100*time.Millisecond)) }
			}
			f, o := d.start(s), order(p.want("a"))
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			var known struct{ Decode map[string]float64 }
			raw, err := os.ReadFile(d.dir + "/" + transfer.RatesFile)
			must(t, err)
			must(t, json.Unmarshal(raw, &known))
			if len(known.Decode) != 1 || known.Decode[row.want] == 0 {
				t.Errorf("remembered %s", raw)
			}
		})
	}
}

// TestProgress: what is told never gets less, and ends with all of it.
func TestProgress(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	var last, total int64
	asked, waited := 0, 0
	d.with = func(o *transfer.Options) {
		o.Progress = func(have, of int64) {
			if have < last || have > of {
				t.Errorf("%d of %d after %d", have, of, last)
			}
			last, total = have, of
		}
		o.Expect = func(time.Duration) { asked++ }
		o.Throttle = func(_ context.Context, n int) error { waited += n; return nil }
	}
	s.offer = offers(1)
	s.body = func(_ context.Context, _ string, _ int64, r io.Reader) io.Reader { return cut(r, 300_000) }
	synctest.Test(t, func(t *testing.T) {
		must(t, d.start(s).Fetch(t.Context(), order(p.want())))
	})
	if last != 2_003_001 || total != last || asked == 0 || int64(waited) != s.served {
		t.Errorf("%d of %d, %d signs of life, %d of %d bytes throttled", last, total, asked, waited, s.served)
	}
}

// TestManifestThrottled: a manifest is held down to the rate as contents are.
func TestManifestThrottled(t *testing.T) {
	t.Parallel()
	files := map[string][]byte{}
	for i := range 500 {
		files[fmt.Sprintf("opt/%d", i)] = noise(uint64(i), 10)
	}
	p := newPacket(t, "p", archive.FormatTar, files)
	raw, _, err := p.manifest.Encode()
	must(t, err)
	d, waited := newDevice(t), 0
	d.with = func(o *transfer.Options) {
		o.Throttle = func(_ context.Context, n int) error { waited += n; return nil }
	}
	f := d.start(newServer(p))
	for range 2 { // the second time it is there
		_, err = f.Manifest(t.Context(), &p.Packet)
		must(t, err)
	}
	if waited != len(raw) {
		t.Errorf("%d of %d bytes", waited, len(raw))
	}
}

// TestThrottled: who throttles may stop the transfer.
func TestThrottled(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	d.with = func(o *transfer.Options) {
		o.Throttle = func(ctx context.Context, n int) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Duration(n) * time.Second / 10_000):
				return nil
			}
		}
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Second)
		defer cancel()
		begun := time.Now()
		err := d.start(s).Fetch(ctx, order(p.want()))
		if james.KindOf(err) != james.KindInterrupted || time.Since(begun) != 50*time.Second || s.served > 600_000+2<<20 {
			t.Errorf("%v after %s and %d bytes", err, time.Since(begun), s.served)
		}
	})
}
