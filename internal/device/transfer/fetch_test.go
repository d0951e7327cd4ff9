package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/pkg/james"
)

func files() map[string][]byte {
	return map[string][]byte{"opt/a": noise(1, 400_000), "opt/b": noise(4, 900_000), "opt/c/d": noise(2, 3_000), "opt/e": noise(3, 700_001), "opt/same": noise(2, 3_000), "opt/empty": nil}
}

// TestFetch gets packets in every way there is, and nothing a second time.
func TestFetch(t *testing.T) {
	t.Parallel()
	none := james.Errorf(james.KindNotFound, "", "there is nothing here")
	for _, row := range []struct {
		name              string
		format            string
		server            func(*server)
		archives, streams int
	}{
		{"an archive in xz", archive.FormatXz, func(s *server) { s.noStreams = none }, 1, 0},
		{"a tar", archive.FormatTar, func(s *server) { s.noStreams = none }, 1, 0},
		{"an archive in zstd", archive.FormatZstd, func(s *server) { s.noStreams = none }, 1, 0},
		{"a stream", archive.FormatTar, func(s *server) { s.offer = offers(1000) }, 0, 1},
		{"a server that cannot be asked now", archive.FormatTar, func(s *server) {
			s.noStreams = james.Errorf(james.KindUnavailable, "stream", "no room for it")
		}, 1, 0},
		{"no contents in spite of the offer", archive.FormatTar, func(s *server) {
			s.offer = func(james.BlobsRequest) (james.BlobsOffer, error) {
				s.noStreams = none
				return james.BlobsOffer{Size: 1}, nil
			}
		}, 1, 0},
		{"an archive that is gone", archive.FormatTar, func(s *server) { s.noArchive = none; s.offer = offers(1 << 30) }, 1, 1},
		{"an archive that is damaged", archive.FormatTar, func(s *server) {
			s.offer = offers(1 << 30)
			s.damage = func(what string, b []byte) []byte {
				if what == "archive" {
					b[len(b)/2] ^= 1
				}
				return b
			}
		}, 1, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPacket(t, "p", row.format, files())
			s, d := newServer(p), newDevice(t)
			row.server(s)
			d.with = func(o *transfer.Options) { o.Rand = func() float64 { return 0 } }
			synctest.Test(t, func(t *testing.T) {
				f := d.start(s)
				o := order(p.want())
				if n := f.Missing(o); n != 400_000+900_000+3_000+700_001 {
					t.Errorf("%d bytes are missing", n)
				}
				must(t, f.Fetch(t.Context(), o))
				d.check(f, []*packet{p}, o)
				if len(s.archives) != row.archives || len(s.requests) != row.streams {
					t.Errorf("%d archives and %d streams were fetched", len(s.archives), len(s.requests))
				}
				served := s.served
				must(t, f.Fetch(t.Context(), o))
				must(t, d.start(s).Fetch(t.Context(), o))
				if s.served != served {
					t.Errorf("%d bytes were fetched again", s.served-served)
				}
			})
		})
	}
}

func offers(size int64) func(james.BlobsRequest) (james.BlobsOffer, error) {
	return func(james.BlobsRequest) (james.BlobsOffer, error) {
		return james.BlobsOffer{Size: size, Exact: true}, nil
	}
}

// TestFew: of a packet of which little is wanted, little is fetched.
func TestFew(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	f := d.start(s)
	o := order(p.want("opt/c/d", "opt/a"))
	must(t, f.Fetch(t.Context(), o))
	d.check(f, []*packet{p}, o)
	if len(s.archives) > 0 || s.served > 410_000 {
		t.Errorf("%d archives, %d bytes", len(s.archives), s.served)
	}
	// Where there are no streams, it is the archive, up to the last file that is wanted.
	s, d = newServer(p), newDevice(t)
	s.noStreams = james.Errorf(james.KindNotFound, "", "there is nothing here")
	f = d.start(s)
	unknown := p.Packet
	unknown.Archive = james.Archive{}
	o = order(p.want("opt/a"))
	o.Wants[0].Packet = &unknown
	must(t, f.Fetch(t.Context(), o))
	d.check(f, []*packet{p}, o)
	if len(s.archives) != 1 || s.served == 0 || s.served > int64(len(p.archive))*9/10 {
		t.Errorf("%d archives, %d of %d bytes", len(s.archives), s.served, len(p.archive))
	}
}

// TestResume cuts connections everywhere; no byte comes twice.
func TestResume(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"archive", "stream"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			p := newPacket(t, "p", archive.FormatTar, files())
			s, d := newServer(p), newDevice(t)
			s.offer = offers(map[string]int64{"archive": 1 << 30, "stream": 1}[kind])
			s.body = func(_ context.Context, _ string, _ int64, r io.Reader) io.Reader { return cut(r, 99_999) }
			synctest.Test(t, func(t *testing.T) {
				f := d.start(s)
				o := order(p.want())
				must(t, f.Fetch(t.Context(), o))
				d.check(f, []*packet{p}, o)
			})
			whole, opened := int64(len(p.archive)), s.archives
			if kind == "stream" {
				whole, opened = int64(len(slices.Collect(mapValues(s.streams))[0])), s.blobs
			}
			if len(opened) < int(whole/99_999) || s.served != whole {
				t.Errorf("%d of %d bytes over %d connections", s.served, whole, len(opened))
			}
		})
	}
}

func mapValues[K comparable, V any](m map[K]V) func(func(V) bool) {
	return func(yield func(V) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

// block is what a decoder has to have before it hands out any of it, in bytes.
const block = 128 << 10

// TestGone: a server that has the stream no more is asked for the rest.
func TestGone(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	s.offer, s.forgetful = offers(1), true
	s.body = func(_ context.Context, _ string, _ int64, r io.Reader) io.Reader { return cut(r, 500_000) }
	synctest.Test(t, func(t *testing.T) {
		f := d.start(s)
		o := order(p.want())
		must(t, f.Fetch(t.Context(), o))
		d.check(f, []*packet{p}, o)
	})
	if len(s.requests) < 4 || s.served > 2_010_000+block*int64(len(s.requests)-1) {
		t.Errorf("%d bytes in %d streams", s.served, len(s.requests))
	}
	if !slices.ContainsFunc(s.requests, func(r james.BlobsRequest) bool { return r.Packets[0].Offset > 0 }) {
		t.Errorf("streams were asked for as %+v", s.requests)
	}
}

// TestBrokenStreams: streams that always break off at the same place, as the server has a
// content no more, are left for the archive.
func TestBrokenStreams(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	for _, row := range []struct {
		name string
		at   int64 // bytes of the first stream that come
		most int64 // bytes that are served
	}{
		{"before anything came", 100, 2_100_000},
		{"in the middle", 1_600_000, 4_100_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer, s.forgetful = offers(1), true
			s.body = func(_ context.Context, kind string, _ int64, r io.Reader) io.Reader {
				if kind == "archive" {
					return r
				}
				if len(s.requests) > 1 {
					return cut(r, 24)
				}
				return cut(r, row.at)
			}
			synctest.Test(t, func(t *testing.T) {
				f, o := d.start(s), order(p.want())
				must(t, f.Fetch(t.Context(), o))
				d.check(f, []*packet{p}, o)
			})
			if s.served > row.most {
				t.Errorf("%d bytes were served", s.served)
			}
		})
	}
}

// TestStopped ends the process in the middle of a large file; the next one goes on
// at its offset.
func TestStopped(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	s.offer = offers(1)
	ctx, cancel := context.WithCancel(t.Context())
	s.body = func(_ context.Context, _ string, _ int64, r io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(r, 1_600_000), stopping(cancel))
	}
	o := order(p.want())
	err := d.start(s).Fetch(ctx, o)
	if james.KindOf(err) != james.KindInterrupted || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	s.body = nil
	f := d.start(s)
	if n := f.Missing(o); n < 400_000 || n > 410_000+block {
		t.Errorf("%d bytes are missing", n)
	}
	must(t, f.Fetch(t.Context(), o))
	d.check(f, []*packet{p}, o)
	if s.served > 2_010_000+block {
		t.Errorf("%d bytes were served", s.served)
	}
	last := s.requests[len(s.requests)-1].Packets[0]
	if last.Offset == 0 || last.Entries.String() != james.IndicesOf(p.entry("opt/e")).String() {
		t.Errorf("asked for %+v", last)
	}
}

// stopping is a body in the middle of which the process is to end.
func stopping(cancel func()) io.Reader {
	return readFunc(func([]byte) (int, error) {
		cancel()
		time.Sleep(time.Millisecond)
		return 0, context.Canceled
	})
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// TestUnsound: what is not what it must be is fetched again, and only that.
func TestUnsound(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	a, b, e := files()["opt/a"], files()["opt/b"], files()["opt/e"]
	for name, damage := range map[string]func(t *testing.T, d *device) (again int64){
		"another content": func(t *testing.T, d *device) int64 {
			must(t, os.WriteFile(d.blob(a), bytes.ToUpper(a[:400_000:400_000]), 0o600))
			wrong := bytes.Clone(a)
			wrong[7]++
			must(t, os.WriteFile(d.blob(a), wrong, 0o600))
			return 400_000
		},
		"cut": func(t *testing.T, d *device) int64 { must(t, os.Truncate(d.blob(e), 300_001)); return 400_000 },
		"cut and wrong": func(t *testing.T, d *device) int64 {
			must(t, os.WriteFile(d.blob(e), make([]byte, 300_001), 0o600))
			return 400_000 + 700_001
		},
		"too long": func(t *testing.T, d *device) int64 {
			must(t, os.WriteFile(d.blob(b), make([]byte, 900_001), 0o600))
			return 900_000
		},
		"empty":   func(t *testing.T, d *device) int64 { must(t, os.Truncate(d.blob(a), 0)); return 400_000 },
		"missing": func(t *testing.T, d *device) int64 { must(t, os.Remove(d.blob(a))); return 400_000 },
		"a directory": func(t *testing.T, d *device) int64 {
			must(t, os.Remove(d.blob(a)))
			must(t, os.MkdirAll(d.blob(a)+"/x", 0o700))
			return 400_000
		},
		"no content at all": func(t *testing.T, d *device) int64 {
			must(t, os.WriteFile(d.dir+"/blobs/x", a, 0o600))
			return 0
		},
		"the name of an installed file, cut": func(t *testing.T, d *device) int64 {
			must(t, os.Truncate(d.blob(a), 100_000))
			must(t, os.Link(d.blob(a), d.dir+"/installed"))
			return 400_000
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer = offers(1)
			o := order(p.want())
			must(t, d.start(s).Fetch(t.Context(), o))
			again := damage(t, d)
			before := s.served
			f := d.start(s)
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			if got := s.served - before; got < again || got > again+5_000 {
				t.Errorf("%d bytes were fetched again, not %d", got, again)
			}
			if len(d.names()) != 4 {
				t.Errorf("%d contents are there", len(d.names()))
			}
			if info, err := os.Stat(d.dir + "/installed"); err == nil && info.Size() != 100_000 {
				t.Error("an installed file was written to")
			}
		})
	}
}

// TestGivenContentsAreReadAgain: a transaction may have linked a content, and a
// script may have written to it then.
func TestGivenContentsAreReadAgain(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	f, o := d.start(s), order(p.want())
	must(t, f.Fetch(t.Context(), o))
	d.check(f, []*packet{p}, o)
	installed := d.dir + "/installed"
	must(t, os.Link(d.blob(files()["opt/a"]), installed))
	must(t, os.WriteFile(installed, bytes.Repeat([]byte("x"), 400_000), 0o600))
	must(t, f.Fetch(t.Context(), o))
	d.check(f, []*packet{p}, o)
	if got, err := os.ReadFile(installed); err != nil || got[0] != 'x' {
		t.Errorf("an installed file was written to: %v", err)
	}
}

// TestPersistentlyWrong: a server that has other contents than it says is not
// asked for ever.
func TestPersistentlyWrong(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	s, d := newServer(p), newDevice(t)
	s.damage = func(what string, b []byte) []byte {
		if len(b) > 0 {
			b[len(b)/2] ^= 1
		}
		return b
	}
	synctest.Test(t, func(t *testing.T) {
		if err := d.start(s).Fetch(t.Context(), order(p.want())); james.KindOf(err) != james.KindCorrupt {
			t.Errorf("got %v", err)
		}
	})
	if s.served > 8_000_000 {
		t.Errorf("%d bytes were served", s.served)
	}
}

// behind is a server that somebody answers for, until that is doubted.
type behind struct {
	transfer.Server
	server  *server
	doubted int
}

func (b *behind) Doubt() bool {
	b.doubted++
	b.Server = b.server
	return b.doubted == 1
}

// TestDoubt: what somebody in between sends wrong comes from the server, the same way.
func TestDoubt(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	for way, offer := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s, between, d := newServer(p), newServer(p), newDevice(t)
			for _, one := range []*server{s, between} {
				one.offer = func(james.BlobsRequest) (james.BlobsOffer, error) { return james.BlobsOffer{Size: offer}, nil }
			}
			between.damage = func(_ string, b []byte) []byte {
				if len(b) > 0 {
					b[len(b)/2] ^= 1
				}
				return b
			}
			b := &behind{Server: between, server: s}
			f, o := d.start(b), order(p.want())
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			if b.doubted != 1 || way == "stream" && len(s.archives) > 0 || way == "archive" && len(s.blobs) > 0 {
				t.Errorf("doubted %d times, the server was asked for %d archives and %d streams", b.doubted, len(s.archives), len(s.blobs))
			}
		})
	}
}
