package agent_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

type body = io.ReadCloser

// silence is a body that brings some bytes and then nothing until its context
// ends.
type silence struct {
	ctx   context.Context
	after int
}

func (s *silence) Read(p []byte) (int, error) {
	if s.after > 0 {
		n := min(len(p), s.after)
		s.after -= n
		return n, nil
	}
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

func (s *silence) Close() error { return nil }

// cut ends a body after n bytes with err.
func cut(r io.Reader, n int64, err error) body {
	return io.NopCloser(io.MultiReader(io.LimitReader(r, n), failure{err}))
}

type failure struct{ err error }

func (f failure) Read([]byte) (int, error) { return 0, f.err }

func (d *device) files() (names []string) {
	for _, dir := range []string{"blobs", "manifests"} {
		filepath.WalkDir(filepath.Join(d.dir, dir), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				names = append(names, path)
			}
			return nil
		})
	}
	return names
}

const archiveSize = 3 << 20

func TestInterruptedDownloadIsResumed(t *testing.T) {
	t.Parallel()
	for name, broken := range map[string]error{
		"connection reset": errors.New("read tcp: connection reset by peer"),
		"an early end":     io.EOF,
		"server's error":   james.Errorf(james.KindUnavailable, "jamesd", "is going down"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := wanting(t, "big", archiveSize)
				s := d.server
				s.body = func(_ int64, r io.Reader) (body, error) { return cut(r, 300_000, broken), nil }
				stop := d.run()
				d.pass(time.Minute)
				stop()
				if len(d.installer.Apps()) != 1 {
					t.Fatal("not installed")
				}
				if s.served != archiveSize {
					t.Errorf("%d bytes were served of an archive of %d", s.served, archiveSize)
				}
				if len(s.gets) != 11 || s.gets[1] != 300_000 {
					t.Errorf("asked for the offsets %d", s.gets)
				}
				if files := d.files(); len(files) != 0 {
					t.Errorf("left after the commit: %s", files)
				}
			})
		})
	}
}

func TestDownloadIsResumedByTheNextProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "big", archiveSize)
		s := d.server
		s.body = func(_ int64, r io.Reader) (body, error) {
			return cut(r, 1_000_000, james.Errorf(james.KindDenied, "jamesd", "no")), nil
		}
		stop := d.run()
		d.pass(time.Second)
		stop()
		s.body, s.streams = nil, true
		stop = d.run()
		d.pass(5 * time.Minute)
		stop()
		if len(d.installer.Apps()) != 1 || s.served > archiveSize+1<<10 {
			t.Errorf("apps %v, %d bytes served of %d", d.installer.Apps(), s.served, archiveSize)
		}
	})
}

// What is there whole is not fetched again by the next try, nor by the next
// process.
func TestFetchedArchiveIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, p := failing(t)
		for range 2 {
			stop := d.run()
			d.pass(time.Hour)
			stop()
		}
		if d.tries() < 4 || d.server.served != p.Archive.Size {
			t.Errorf("%d tries took %d bytes, want %d", d.tries(), d.server.served, p.Archive.Size)
		}
		d.server.want()
		stop := d.run()
		d.pass(12 * time.Hour)
		stop()
		if files := d.files(); len(files) != 0 {
			t.Errorf("left when nothing is wanted: %s", files)
		}
	})
}

func TestSilentDownloadIsResumed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "big", archiveSize)
		s := d.server
		began := time.Now()
		d.options = func(o *agent.Options) { o.Server = &silentOnce{server: s} }
		d.installer.during = func(context.Context) {
			if took := time.Since(began).Round(time.Second); took != 31*time.Second {
				t.Errorf("took %s, want the 30 seconds of silence and the delay", took)
			}
		}
		stop := d.run()
		d.pass(time.Minute)
		stop()
		if len(d.installer.Apps()) != 1 {
			t.Error("not installed")
		}
	})
}

// silentOnce does not answer the first request for an archive.
type silentOnce struct {
	*server
	asked bool
}

func (s *silentOnce) Archive(ctx context.Context, d james.Digest, a james.Archive, offset int64) (body, error) {
	if !s.asked {
		s.asked = true
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.server.Archive(ctx, d, a, offset)
}

// What will not go away is not tried again at once, and what will is tried as
// often as a lost server is.
func TestDownloadThatFails(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		gets   int           // in the first try
		second time.Duration // when the second and later tries are, at most
		part   bool
	}{
		"denied":          {err: james.Errorf(james.KindDenied, "archive", "not of this device"), gets: 1, second: 6 * time.Hour},
		"not found":       {err: james.Errorf(james.KindNotFound, "archive", "was deleted"), gets: 1, second: 6 * time.Hour},
		"lost every time": {err: unreachable, gets: 7, second: 8 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d := wanting(t, "big", archiveSize)
				s := d.server
				s.body = func(int64, io.Reader) (body, error) { return nil, tc.err }
				stop := d.run()
				d.pass(2 * time.Minute)
				if len(s.reports) == 0 || s.reports[0].Result != james.Refused || s.reports[0].Kind != james.KindOf(tc.err) {
					t.Errorf("reports are %+v", s.reports)
				}
				if tc.gets == 1 && len(s.gets) > 2 || tc.gets > 1 && len(s.gets) < tc.gets {
					t.Errorf("asked %d times, want %d in each try", len(s.gets), tc.gets)
				}
				d.pass(18 * time.Hour)
				stop()
				last := d.installer.fetches[len(d.installer.fetches)-2:]
				if gap := last[1].Sub(last[0]); gap > tc.second || gap < tc.second/2 {
					t.Errorf("the last tries are %s apart, want about %s", gap, tc.second)
				}
			})
		})
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "big", archiveSize)
		s := d.server
		full, written := true, int64(0)
		d.hook = func(before bool, op disk.Op) error {
			if !before || op.Name != "append" || !full {
				return nil
			}
			if written += op.Size; written > 1<<20 {
				return syscall.ENOSPC
			}
			return nil
		}
		stop := d.run()
		d.pass(time.Second)
		if len(s.reports) != 1 || s.reports[0].Result != james.Refused || !strings.Contains(s.reports[0].Error, "no space left") {
			t.Errorf("reports are %+v", s.reports)
		}
		if len(s.gets) != 1 {
			t.Errorf("asked %d times, want not again while the disk is full", len(s.gets))
		}
		before := s.served
		full = false
		s.set(func() { s.streams = true })
		d.pass(2 * time.Minute)
		stop()
		if len(d.installer.Apps()) != 1 {
			t.Error("not installed when there is space")
		}
		if again := s.served - before; again > archiveSize-written+1<<20 {
			t.Errorf("%d bytes of %d are fetched again", again, archiveSize)
		}
	})
}

// TestMissing has a download end early, and another process go on with it.
func TestMissing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := wanting(t, "big", archiveSize)
		s := d.server
		s.body = func(_ int64, r io.Reader) (body, error) {
			return cut(r, 1_000_000, james.Errorf(james.KindDenied, "jamesd", "no")), nil
		}
		stop := d.run()
		d.pass(time.Second)
		stop()
		s.body, s.streams = nil, true
		d.installer.fails["big"] = james.Report{Result: james.RolledBack, Error: "no", Kind: james.KindConflict}
		stop = d.run()
		d.pass(12 * time.Hour)
		stop()
		const size, came = archiveSize - tarSize, 1_000_000 - 512
		want := []storage{{size, came}, {size - came, size - came}, {0, 0}}
		if got := d.installer.storage; len(got) < 3 || !slices.Equal(got[:3], want) {
			t.Errorf("missing and stored were %v, want %v", got, want)
		}
	})
}

func TestDownloadsOfOtherPlansAreRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		big, small := newPacket(t, "big", "v1", archiveSize), newPacket(t, "small", "v1", 100)
		s := newServer(big, small)
		s.want(big)
		d := newDevice(t, s)
		s.body = func(_ int64, r io.Reader) (body, error) {
			return cut(r, 1000, james.Errorf(james.KindDenied, "jamesd", "no")), nil
		}
		stop := d.run()
		d.pass(time.Second)
		if len(d.files()) != 2 {
			t.Errorf("files are %s, want a part and a manifest", d.files())
		}
		d.installer.during = func(context.Context) {
			for _, f := range d.files() {
				if strings.Contains(f, big.Archive.Digest.String()) || strings.Contains(f, big.Digest.String()) {
					t.Errorf("%s is still there", f)
				}
			}
		}
		s.set(func() { s.body = nil })
		s.want(small)
		synctest.Wait()
		stop()
		if len(d.installer.Apps()) != 1 {
			t.Error("the other plan was not carried out")
		}
	})
}

func TestManifestIsFetchedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, p := failing(t)
		stop := d.run()
		d.pass(time.Second)
		d.server.set(func() { d.server.packets[p.Digest] = newPacket(t, "other", "v1", 1) })
		d.pass(time.Hour)
		stop()
		for _, r := range d.server.reports {
			if r.Result != james.RolledBack {
				t.Errorf("report is %+v, want the manifest that was kept", r)
			}
		}
	})
}

func TestManifestOfAnotherPacket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "a", "v1", 10)
		s := newServer(p)
		s.want(p)
		s.packets[p.Digest] = newPacket(t, "other", "v1", 1)
		d := newDevice(t, s)
		stop := d.run()
		d.pass(time.Second)
		stop()
		if len(s.reports) != 1 || s.reports[0].Kind != james.KindCorrupt {
			t.Errorf("reports are %+v", s.reports)
		}
	})
}
