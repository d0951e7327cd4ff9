package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/journal"
	"github.com/trusch/jamesd/pkg/james"
)

const name = "journal"

func open(t *testing.T, dir string, hook disk.Hook) (*journal.Journal, []string) {
	t.Helper()
	d, err := disk.Open(dir, disk.Options{Hook: hook})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	j, raw, err := journal.Open(d, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	var records []string
	for _, r := range raw {
		records = append(records, string(r))
	}
	return j, records
}

func add(t *testing.T, j *journal.Journal, records ...string) {
	t.Helper()
	var raw [][]byte
	for _, r := range records {
		raw = append(raw, []byte(r))
	}
	if err := errors.Join(j.Append(raw...), j.Sync()); err != nil {
		t.Fatal(err)
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("records %q, want %q", got, want)
	}
}

func TestJournalKeepsRecords(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, records := open(t, dir, nil)
	want(t, records)
	add(t, j, "one", "two")
	add(t, j, strings.Repeat("x", journal.MaxRecord))
	mark := j.Mark()
	add(t, j, "not meant")
	if err := j.Rewind(mark); err != nil {
		t.Fatal(err)
	}
	add(t, j, "four")
	j, records = open(t, dir, nil)
	want(t, records, "one", "two", strings.Repeat("x", journal.MaxRecord), "four")
	if err := j.Reset(); err != nil {
		t.Fatal(err)
	}
	if _, records = open(t, dir, nil); len(records) != 0 {
		t.Fatalf("after Reset: %q", records)
	}
}

func TestRecordLimits(t *testing.T) {
	t.Parallel()
	j, _ := open(t, t.TempDir(), nil)
	for _, size := range []int{0, journal.MaxRecord + 1} {
		if err := j.Append(make([]byte, size)); james.KindOf(err) != james.KindInternal {
			t.Errorf("a record of %d bytes: %v", size, err)
		}
	}
}

// TestEveryDamage cuts the file at every byte, and flips a bit in every byte: what
// is read is always a beginning of what was written, and the journal goes on.
func TestEveryDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, _ := open(t, dir, nil)
	written := []string{"alpha", "beta", "gamma"}
	add(t, j, written...)
	whole, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	ends := []int{0, 13, 25, 38} // of the records: 8 bytes of frame each
	for at := range whole {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 0x10
		for what, raw := range map[string][]byte{"cut": whole[:at], "flipped": flipped, "more": append(bytes.Clone(whole), whole[:at+1]...)} {
			n := 0
			for n < len(written) && ends[n+1] <= at {
				n++
			}
			if what == "more" {
				n = len(written)
			}
			checkDamaged(t, fmt.Sprintf("%s at byte %d", what, at), raw, written[:n])
		}
	}
}

func checkDamaged(t *testing.T, what string, raw []byte, left []string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	j, records := open(t, dir, nil)
	if fmt.Sprint(records) != fmt.Sprint(left) {
		t.Fatalf("%s: records %q, want %q", what, records, left)
	}
	if want := int64(len(raw)) - j.Size(); j.Cut != want {
		t.Fatalf("%s: cut %d bytes, want %d", what, j.Cut, want)
	}
	add(t, j, "later")
	if _, records = open(t, dir, nil); len(records) != len(left)+1 || records[len(left)] != "later" {
		t.Fatalf("%s: after one more record: %q", what, records)
	}
}

// TestRecordsOfBefore takes a journal that was begun again, whose old bytes
// follow the new ones at a record's edge: they are no records of the new one.
func TestRecordsOfBefore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	j, _ := open(t, dir, nil)
	add(t, j, "first", "second", "third")
	file := filepath.Join(dir, name)
	old, _ := os.ReadFile(file)
	if err := j.Reset(); err != nil {
		t.Fatal(err)
	}
	add(t, j, "other")
	now, _ := os.ReadFile(file)
	if err := os.WriteFile(file, append(now, old[len(now):]...), 0o600); err != nil {
		t.Fatal(err)
	}
	_, records := open(t, dir, nil)
	want(t, records, "other")
}

// TestFailedAppend has half of a record reach the disk before it is full.
func TestFailedAppend(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, name)
	full := false
	j, _ := open(t, dir, func(before bool, op disk.Op) error {
		if !full || !before || op.Name != "append" {
			return nil
		}
		f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Write([]byte{3, 0, 0, 0, 1})
		return syscall.ENOSPC
	})
	add(t, j, "one")
	full = true
	if err := j.Append([]byte("two")); !errors.Is(err, syscall.ENOSPC) || james.KindOf(err) != james.KindUnavailable {
		t.Fatalf("append to a full disk: %v", err)
	}
	full = false
	add(t, j, "three")
	_, records := open(t, dir, nil)
	want(t, records, "one", "three")
}

func TestReadChangesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if _, err := journal.Read(d, name); james.KindOf(err) != james.KindNotFound {
		t.Fatalf("no journal: %v", err)
	}
	j, _ := open(t, dir, nil)
	add(t, j, "one")
	file := filepath.Join(dir, name)
	raw, _ := os.ReadFile(file)
	if err := os.WriteFile(file, append(raw, 1, 2, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	records, err := journal.Read(d, name)
	if err != nil || len(records) != 1 {
		t.Fatalf("records %q, %v", records, err)
	}
	if now, _ := os.ReadFile(file); len(now) != len(raw)+3 {
		t.Fatal("Read changed the file")
	}
}
