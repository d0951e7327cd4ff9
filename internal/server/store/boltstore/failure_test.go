package boltstore_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/pkg/james"
)

// must ends the test for an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// set makes the row of id a device of that revision, with some weight.
func set(s store.Store, id string, revision uint64) error {
	_, _, err := s.Devices().Update(context.Background(), id, func(*james.Device) (*james.Device, error) {
		return &james.Device{ID: id, Revision: revision, Agent: strings.Repeat("x", 2000)}, nil
	})
	return err
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name    string
		ctx     context.Context
		prepare func(t *testing.T, file string)
		kind    james.Kind
		says    string
	}{
		{"a file that is in use", t.Context(), func(t *testing.T, file string) { open(t, file) }, james.KindConflict, "in use"},
		{"a newer layout", t.Context(), newerLayout, james.KindConflict, "version 2"},
		{"a file of something else", t.Context(), func(t *testing.T, file string) {
			must(t, os.WriteFile(file, []byte(strings.Repeat("not a store\n", 1000)), 0o600))
		}, james.KindCorrupt, "not a store"},
		{"a directory", t.Context(), func(t *testing.T, file string) { must(t, os.Mkdir(file, 0o700)) }, james.KindUnavailable, "directory"},
		{"no directory", t.Context(), func(t *testing.T, file string) { must(t, os.Remove(filepath.Dir(file))) }, james.KindUnavailable, "no such file"},
		{"a context that is done", cancelled, func(*testing.T, string) {}, james.KindInterrupted, "canceled"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "dir", "store.db")
			must(t, os.Mkdir(filepath.Dir(file), 0o700))
			c.prepare(t, file)
			_, err := boltstore.Open(c.ctx, file)
			if james.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.says) {
				t.Fatalf("Open returned %v of kind %q, want kind %q and %q", err, james.KindOf(err), c.kind, c.says)
			}
			if c.kind != james.KindInterrupted && !strings.Contains(err.Error(), file) {
				t.Errorf("the error %q does not name the file", err)
			}
		})
	}
}

func newerLayout(t *testing.T, file string) {
	s := open(t, file)
	must(t, set(s, "d", 1))
	must(t, s.Close())
	db, err := bbolt.Open(file, 0o600, nil)
	must(t, err)
	must(t, db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("version"), []byte{0, 0, 0, 0, 0, 0, 0, 2})
	}))
	must(t, db.Close())
}

func TestTheFileIsFreeAfterClose(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "store.db")
	for range 3 {
		must(t, open(t, file).Close())
	}
}

// child, when set, makes the test binary a process that uses the store in the
// file which fileVariable names, in a way that ends or limits a process.
const (
	childVariable = "BOLTSTORE_TEST_CHILD"
	fileVariable  = "BOLTSTORE_TEST_FILE"
)

func TestMain(m *testing.M) {
	switch os.Getenv(childVariable) {
	case "write for ever":
		writeForEver(os.Getenv(fileVariable))
	case "fill the disk":
		fillTheDisk(os.Getenv(fileVariable))
	default:
		os.Exit(m.Run())
	}
}

func child(t *testing.T, what, file string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childVariable+"="+what, fileVariable+"="+file)
	cmd.Stderr = os.Stderr
	return cmd
}

// writeForEver says after each update what was acknowledged.
func writeForEver(file string) {
	s, err := boltstore.Open(context.Background(), file)
	for n := uint64(1); err == nil; n++ {
		if err = set(s, fmt.Sprint("d", n%10), n); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Println("failed:", err)
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "store.db")
	last := uint64(0)
	for range 5 {
		last = killWriter(t, file)
		s := open(t, file)
		for n := last - 9; n <= last; n++ {
			got, err := s.Devices().Get(t.Context(), fmt.Sprint("d", n%10))
			must(t, err)
			if got.Revision < n {
				t.Errorf("d%d is at %d, but %d was acknowledged", n%10, got.Revision, n)
			}
		}
		must(t, s.Close())
		check(t, file)
	}
}

// killWriter lets a process write, kills it, and returns the last number that it
// said was acknowledged.
func killWriter(t *testing.T, file string) (last uint64) {
	t.Helper()
	cmd := child(t, "write for ever", file)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		_, err := fmt.Sscan(lines.Text(), &last)
		if err != nil {
			t.Fatalf("the writer said %q", lines.Text())
		}
		if last == 50 {
			must(t, cmd.Process.Kill())
		}
	}
	cmd.Wait() // says that it was killed
	return last
}

// check has bbolt look at every page of the file.
func check(t *testing.T, file string) {
	t.Helper()
	db, err := bbolt.Open(file, 0o600, nil)
	must(t, err)
	defer db.Close()
	must(t, db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt: %v", err)
		}
		return nil
	}))
}

// fillTheDisk writes until the file may not grow any more, then checks that
// nothing is lost and that it goes on when there is space again. A limit on the
// size of files fails in the same calls as a full disk.
func fillTheDisk(file string) {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := boltstore.Open(context.Background(), file)
	if err != nil {
		fmt.Println("opening:", err)
		return
	}
	var former syscall.Rlimit
	syscall.Getrlimit(syscall.RLIMIT_FSIZE, &former)
	limit := former
	limit.Cur = 1 << 20
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
	n := uint64(0)
	for err == nil && n < 10_000 {
		if err = set(s, fmt.Sprint("d", n), n); err == nil {
			n++
		}
	}
	fmt.Printf("kind %s: %v (%s)\n", james.KindOf(err), err, james.HintOf(err))
	for i := range n {
		if d, err := s.Devices().Get(context.Background(), fmt.Sprint("d", i)); err != nil || d.Revision != i {
			fmt.Println("lost:", i, err)
		}
	}
	syscall.Setrlimit(syscall.RLIMIT_FSIZE, &former)
	fmt.Println("with space again:", set(s, "after", n), s.Close())
}

func TestAFullDiskLosesNothing(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "store.db")
	out, err := child(t, "fill the disk", file).Output()
	must(t, err)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "kind unavailable: ") || !strings.Contains(lines[0], file+": there is no space left") ||
		!strings.Contains(lines[0], "Free space") || lines[1] != "with space again: <nil> <nil>" {
		t.Errorf("the process said:\n%s", out)
	}
	check(t, file)
}
