package transfer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/transfer"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// ways has the server offer something that makes one way the better.
var ways = map[string]int64{"archive": 1 << 40, "stream": 1}

// TestFailures: what will not go away fails at once; anything else is tried again
// for a while, and then told.
func TestFailures(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	for kind, minutes := range map[james.Kind]float64{
		james.KindDenied: 0, james.KindUnauthenticated: 0, james.KindNotFound: 0, james.KindInvalid: 0,
		james.KindUnavailable: 1, james.KindInternal: 1, james.KindInterrupted: 1,
	} {
		for way, offer := range ways {
			t.Run(fmt.Sprintf("%s by %s", kind, way), func(t *testing.T) {
				t.Parallel()
				s, d := newServer(p), newDevice(t)
				err := james.Errorf(kind, "server", "it is not well")
				s.offer = func(james.BlobsRequest) (james.BlobsOffer, error) {
					s.noArchive, s.noStreams = err, err
					return james.BlobsOffer{Size: offer}, nil
				}
				d.with = func(o *transfer.Options) { o.Rand = func() float64 { return 0.999 } }
				synctest.Test(t, func(t *testing.T) {
					begun := time.Now()
					f := d.start(s)
					if err := f.Fetch(t.Context(), order(p.want())); james.KindOf(err) != kind {
						t.Errorf("got %v", err)
					}
					if took := time.Since(begun).Minutes(); took < minutes || took > 1.1*minutes {
						t.Errorf("it took %.2f minutes", took)
					}
					if f.Unreachable() != (minutes > 0) {
						t.Errorf("unreachable: %v", f.Unreachable())
					}
				})
			})
		}
	}
}

// TestBusyServer: a server that wants to be asked again is, for as long as it takes.
func TestBusyServer(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	for way, offer := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, d := newServer(p), newDevice(t)
				busy := james.Errorf(james.KindUnavailable, "server", "has too much to do").WithAfter(10 * time.Second)
				begun := time.Now()
				s.offer = func(james.BlobsRequest) (james.BlobsOffer, error) {
					if time.Since(begun) == 0 {
						s.noArchive, s.noStreams = busy, busy
					}
					return james.BlobsOffer{Size: offer}, nil
				}
				time.AfterFunc(10*time.Minute, func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.noArchive, s.noStreams = nil, nil
				})
				if err := d.start(s).Fetch(t.Context(), order(p.want())); err != nil || time.Since(begun) < 10*time.Minute {
					t.Errorf("after %s: %v", time.Since(begun), err)
				}
			})
		})
	}
}

// TestAbout: a failure says which packet of several did not come, where that is known.
func TestAbout(t *testing.T) {
	t.Parallel()
	one := newPacket(t, "one", archive.FormatTar, map[string][]byte{"a": noise(1, 300_000)})
	two := newPacket(t, "two", archive.FormatTar, map[string][]byte{"b": noise(2, 300_000)})
	for _, row := range []struct {
		name   string
		server func(*server)
		want   *packet // nil where nobody can tell
	}{
		{"an archive", func(s *server) {
			s.noStreams = james.Errorf(james.KindNotFound, "", "there is nothing here")
			s.packets[two.Digest] = nil
		}, two},
		{"contents of a stream", func(s *server) {
			s.damage = func(what string, b []byte) []byte {
				if what == "b" {
					b[0] ^= 1
				}
				return b
			}
			s.offer, s.noArchive = offers(1), james.Errorf(james.KindNotFound, "", "there is nothing here")
		}, two},
		{"the server", func(s *server) {
			s.offer, s.noStreams = offers(1), james.Errorf(james.KindDenied, "", "is not yours")
		}, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(one, two), newDevice(t)
			row.server(s)
			var about *txn.PacketError
			var got *james.Packet
			err := d.start(s).Fetch(t.Context(), order(one.want(), two.want()))
			if errors.As(err, &about) {
				got = about.Packet
			}
			if err == nil || (got == nil) != (row.want == nil) || got != nil && got != &row.want.Packet {
				t.Errorf("%v is about %+v", err, got)
			}
		})
	}
}

// TestBadLinks: whatever the link does, the contents arrive, and hardly a byte
// twice.
func TestBadLinks(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	links := map[string]func() func(ctx context.Context, kind string, offset int64, r io.Reader) io.Reader{
		"20 kB/s": func() func(context.Context, string, int64, io.Reader) io.Reader {
			return func(ctx context.Context, _ string, _ int64, r io.Reader) io.Reader { return slow(ctx, r, 20_000) }
		},
		"one in twenty reads resets the connection": func() func(context.Context, string, int64, io.Reader) io.Reader {
			chance := rand.New(rand.NewPCG(1, 2))
			return func(_ context.Context, _ string, _ int64, r io.Reader) io.Reader {
				return readFunc(func(b []byte) (int, error) {
					if chance.IntN(20) == 0 {
						return 0, syscall.ECONNRESET
					}
					return r.Read(b[:min(len(b), 16<<10)])
				})
			}
		},
		"silent in the middle, twice": func() func(context.Context, string, int64, io.Reader) io.Reader {
			n := 0
			return func(ctx context.Context, _ string, _ int64, r io.Reader) io.Reader {
				if n++; n > 2 {
					return r
				}
				return io.MultiReader(io.LimitReader(r, 300_000), silent(ctx))
			}
		},
	}
	for link, newLink := range links {
		for way, offer := range ways {
			t.Run(link+" by "+way, func(t *testing.T) {
				t.Parallel()
				s, d := newServer(p), newDevice(t)
				s.offer, s.body = offers(offer), newLink()
				synctest.Test(t, func(t *testing.T) {
					f, o := d.start(s), order(p.want())
					must(t, f.Fetch(t.Context(), o))
					d.check(f, []*packet{p}, o)
				})
				ideal := int64(len(p.archive))
				if way == "stream" {
					ideal = 2_004_000
				}
				if s.served > ideal*102/100 {
					t.Errorf("%d bytes were served, %d are needed", s.served, ideal)
				}
			})
		}
	}
}

// slow lets so many bytes through in a second.
func slow(ctx context.Context, r io.Reader, rate int) io.Reader {
	return readFunc(func(b []byte) (int, error) {
		n, err := r.Read(b[:min(len(b), rate/10)])
		select {
		case <-ctx.Done():
			return n, ctx.Err()
		case <-time.After(time.Duration(n) * time.Second / time.Duration(rate)):
			return n, err
		}
	})
}

func silent(ctx context.Context) io.Reader {
	return readFunc(func([]byte) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
}

// TestCancel: it stops at once, and what came is kept.
func TestCancel(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	for way, offer := range ways {
		for _, when := range []string{"while bytes arrive", "while it waits for another try"} {
			t.Run(when+" by "+way, func(t *testing.T) {
				t.Parallel()
				s, d := newServer(p), newDevice(t)
				s.offer = offers(offer)
				d.with = func(o *transfer.Options) { o.Rand = func() float64 { return 0.999 } }
				s.body = func(ctx context.Context, _ string, offset int64, r io.Reader) io.Reader {
					if when == "while bytes arrive" {
						return slow(ctx, r, 20_000)
					}
					return cut(r, max(0, 500_000-offset))
				}
				synctest.Test(t, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					reason := errors.New("another plan")
					time.AfterFunc(25500*time.Millisecond, func() { cancel(reason) })
					begun := time.Now()
					f, o := d.start(s), order(p.want())
					if err := f.Fetch(ctx, o); !errors.Is(err, reason) || james.KindOf(err) != james.KindInterrupted {
						t.Errorf("got %v", err)
					}
					if took := time.Since(begun); took > 26*time.Second {
						t.Errorf("it took %s", took)
					}
					if n := f.Missing(o); n > 2_003_001-500_000+block {
						t.Errorf("%d bytes are missing", n)
					}
				})
			})
		}
	}
}

// TestFullDisk: a failure of the device's own disk is no lost connection.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, files())
	for way, offer := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer = offers(offer)
			full := true
			state, err := disk.Open(d.dir, disk.Options{Hook: func(before bool, op disk.Op) error {
				if full && before && op.Name == "append" && op.Size < 100_000 {
					return syscall.ENOSPC
				}
				return nil
			}})
			must(t, err)
			defer state.Close()
			d.with = func(o *transfer.Options) { o.State = state }
			f, o := d.start(s), order(p.want())
			err = f.Fetch(t.Context(), o)
			if !errors.Is(err, syscall.ENOSPC) || james.HintOf(err) == "" || len(s.archives)+len(s.blobs) != 1 {
				t.Fatalf("got %v after %d answers", err, len(s.archives)+len(s.blobs))
			}
			full = false
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
		})
	}
}

// TestLostBytes: after the disk has failed to make contents durable, none of them is
// taken for one that is there.
func TestLostBytes(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, map[string][]byte{"a": noise(1, 5<<20), "b": noise(2, 5<<20)})
	for way, offer := range ways {
		t.Run(way, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer = offers(offer)
			var broken atomic.Bool
			broken.Store(true)
			state, err := disk.Open(d.dir, disk.Options{Hook: func(before bool, op disk.Op) error {
				if broken.Load() && before && (op.Name == "syncfs" || op.Name == "fsync" && strings.Contains(op.Path, "/blobs/")) {
					return syscall.EIO
				}
				return nil
			}})
			must(t, err)
			defer state.Close()
			var ticks atomic.Int64 // a slow device, that makes durable what it has while more comes
			d.with = func(o *transfer.Options) {
				o.State, o.Now = state, func() time.Time { return time.Unix(0, ticks.Add(1)*int64(10*time.Millisecond)) }
			}
			f, o := d.start(s), order(p.want())
			if err = f.Fetch(t.Context(), o); !errors.Is(err, syscall.EIO) {
				t.Fatalf("got %v", err)
			}
			if names := d.names(); len(names) != 0 || f.Missing(o) != 10<<20 {
				t.Errorf("%d contents are there, %d bytes are missing", len(names), f.Missing(o))
			}
			broken.Store(false)
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
		})
	}
}

// TestCrashes ends the process before and after every operation on the disk; the
// next one has what it needs, and what came is not fetched again.
func TestCrashes(t *testing.T) {
	t.Parallel()
	p := newPacket(t, "p", archive.FormatTar, map[string][]byte{"a": noise(1, 600_000), "b": noise(2, 10), "c": make([]byte, 300_000)})
	died := errors.New("the process ended")
	for n, ops := int64(1), int64(1); n <= ops; n++ {
		for _, before := range []bool{true, false} {
			s, d := newServer(p), newDevice(t)
			s.offer = offers(1)
			dead := false
			state, err := disk.Open(d.dir, disk.Options{Hook: func(b bool, op disk.Op) error {
				ops = max(ops, op.N)
				if dead = dead || op.N == n && b == before; dead {
					return died
				}
				return nil
			}})
			must(t, err)
			o := order(p.want())
			if f, err := transfer.New(transfer.Options{Server: s, State: state, Log: d.log}); err == nil {
				_ = f.Fetch(t.Context(), o)
			}
			must(t, state.Close())
			f := d.start(s)
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			if s.served > 2*900_000+1000 {
				t.Errorf("operation %d: %d bytes were served", n, s.served)
			}
		}
	}
}
