package control_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/control"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve serves dir until the test ends.
func serve(t *testing.T, dir string, o control.Operations) *control.Client {
	t.Helper()
	s, err := control.Serve(dir, o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	c, err := control.Dial(t.Context(), dir)
	must(t, err)
	return c
}

// TestPlaces: there is a socket of one's own wherever a directory is, whatever was left
// there, and it goes with the server.
func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name, dir string
		before    func(file string) error
	}{
		{"empty", "db", func(string) error { return nil }},
		{"left by a killed one", "db", func(file string) error {
			conn, err := net.ListenUnix("unix", &net.UnixAddr{Name: file, Net: "unix"})
			if err == nil {
				conn.SetUnlinkOnClose(false)
				err = conn.Close()
			}
			return err
		}},
		{"left half-made", "db", func(file string) error { return os.WriteFile(file+".new", nil, 0o644) }},
		{"a long path", strings.Repeat("d", 120), func(string) error { return nil }},
		{"a path that is too long by the suffix", strings.Repeat("e", 90), func(string) error { return nil }},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			top, err := os.MkdirTemp("", "c")
			must(t, err)
			t.Cleanup(func() { os.RemoveAll(top) })
			dir := filepath.Join(top, row.dir)
			must(t, os.Mkdir(dir, 0o700))
			_, err = control.Dial(t.Context(), dir)
			if james.KindOf(err) != james.KindNotFound {
				t.Fatalf("before: %v", err)
			}
			must(t, row.before(filepath.Join(dir, control.Name)))
			s, err := control.Serve(dir, control.Operations{Check: func(context.Context, fleet.CheckOptions) (fleet.Checkup, error) {
				return fleet.Checkup{Packets: 7}, nil
			}})
			must(t, err)
			info, err := os.Stat(filepath.Join(dir, control.Name))
			must(t, err)
			if info.Mode() != os.ModeSocket|0o600 {
				t.Errorf("its mode is %s", info.Mode())
			}
			c, err := control.Dial(t.Context(), dir)
			must(t, err)
			if sum, err := c.Check(t.Context(), fleet.CheckOptions{}); err != nil || sum.Packets != 7 {
				t.Errorf("got %+v, %v", sum, err)
			}
			must(t, s.Close())
			if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
				t.Errorf("left behind: %v, %v", left, err)
			}
			_, err = control.Dial(t.Context(), dir)
			if james.KindOf(err) != james.KindNotFound {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestNoPlace: what cannot be a socket's place is said.
func TestNoPlace(t *testing.T) {
	t.Parallel()
	_, err := control.Serve(filepath.Join(t.TempDir(), "no"), control.Operations{})
	if james.KindOf(err) != james.KindUnavailable || james.HintOf(err) == "" {
		t.Errorf("got %v", err)
	}
}

// TestCheck: what a check tells and returns arrives, as it was.
func TestCheck(t *testing.T) {
	t.Parallel()
	problem := fleet.Problem{Packet: "a v1", Digest: james.DigestOf(nil), What: "is \"damaged\"\nand more", Do: "mend it"}
	refused := james.Errorf(james.KindConflict, "it", "cannot be").WithHint("Do something else.")
	for _, failure := range []error{nil, refused} {
		c := serve(t, t.TempDir(), control.Operations{Check: func(_ context.Context, o fleet.CheckOptions) (fleet.Checkup, error) {
			o.Progress(1, 2)
			o.Found(problem)
			if !o.Repair {
				return fleet.Checkup{}, errors.New("repair is not set")
			}
			return fleet.Checkup{Blobs: 3, Problems: 1}, failure
		}})
		var found []fleet.Problem
		progress := 0
		sum, err := c.Check(t.Context(), fleet.CheckOptions{
			Repair: true, Found: func(p fleet.Problem) { found = append(found, p) }, Progress: func(done, total int64) { progress += int(done + total) },
		})
		if len(found) != 1 || found[0] != problem || progress != 3 {
			t.Errorf("told of %+v, %d", found, progress)
		}
		switch {
		case failure == nil:
			if err != nil || sum.Blobs != 3 || sum.Problems != 1 {
				t.Errorf("got %+v, %v", sum, err)
			}
		case err == nil || err.Error() != failure.Error() || james.KindOf(err) != james.KindConflict || james.HintOf(err) != james.HintOf(failure):
			t.Errorf("failed with %v", err)
		}
	}
}

// TestBackup: all bytes arrive, and how it ended after them.
func TestBackup(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 300_000)
	for _, failure := range []error{nil, james.Errorf(james.KindUnavailable, "disk", "is full")} {
		c := serve(t, t.TempDir(), control.Operations{Backup: func(_ context.Context, w io.Writer) (backup.Summary, error) {
			_, err := w.Write(content)
			return backup.Summary{Blobs: 5}, errors.Join(err, failure)
		}})
		var got bytes.Buffer
		sum, err := c.Backup(t.Context(), &got)
		if !bytes.Equal(got.Bytes(), content) {
			t.Errorf("%d bytes arrived", got.Len())
		}
		if failure == nil && (err != nil || sum.Blobs != 5) || failure != nil && (james.KindOf(err) != james.KindUnavailable || !strings.Contains(err.Error(), "is full")) {
			t.Errorf("got %+v, %v", sum, err)
		}
	}
}

// TestInterrupted: who asks can stop it, and so can the end of jamesd; what was asked
// for ends before either goes on.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	for _, byServer := range []bool{false, true} {
		dir := t.TempDir()
		began, ended := make(chan struct{}), make(chan struct{})
		s, err := control.Serve(dir, control.Operations{Backup: func(ctx context.Context, w io.Writer) (backup.Summary, error) {
			close(began)
			<-ctx.Done()
			close(ended)
			return backup.Summary{}, ctx.Err()
		}})
		must(t, err)
		c, err := control.Dial(t.Context(), dir)
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			<-began
			if byServer {
				s.Close()
			} else {
				cancel()
			}
		}()
		_, err = c.Backup(ctx, io.Discard)
		if james.KindOf(err) != james.KindInterrupted {
			t.Errorf("got %v", err)
		}
		if byServer && !strings.Contains(err.Error(), "jamesd was stopped") {
			t.Errorf("got %v", err)
		}
		<-ended
		if !byServer {
			must(t, s.Close())
		}
	}
}
