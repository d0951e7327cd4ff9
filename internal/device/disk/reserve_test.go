package disk_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/mounttest"
)

// TestReserve is not parallel: a process that another test starts has the file of
// a reservation open for a moment, and with it its room.
func TestReserve(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "ext4")
	mounttest.Ext4(t, dir, 64)
	var ops []disk.Op
	d, err := disk.Open(dir, disk.Options{Hook: func(before bool, op disk.Op) error {
		if before {
			ops = append(ops, op)
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	free := func() int64 {
		t.Helper()
		space, err := d.Space(".")
		if err != nil {
			t.Fatal(err)
		}
		return space.Free
	}
	// near says how much is free, but for what the file system takes for itself.
	near := func(want int64) {
		t.Helper()
		if got := free(); got > want || got < want-256<<10 {
			t.Errorf("%d bytes are free, want %d", got, want)
		}
	}
	before := free()
	r, err := d.Reserve(".", 32<<20)
	if err != nil || r == nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 || entries[0].Name() != "lost+found" {
		t.Errorf("what is reserved has a name: %v", entries)
	}
	near(before - 32<<20)
	r.Use(1)
	near(before - 30<<20)
	for range 4 {
		r.Use(1 << 20)
	}
	near(before - 26<<20)
	r.Use(20 << 20)
	near(before - 8<<20 + 256<<10 + 1)
	r.Use(1 << 40)
	near(before)
	if len(ops) != 6 {
		t.Errorf("%d operations: %v", len(ops), ops)
	}
	r.Close()
	if _, err := d.Reserve(".", 1<<30); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("more than there is: %v", err)
	}
	near(before)
	if r, err := d.Reserve(".", 0); r != nil || err != nil {
		t.Errorf("nothing: %v, %v", r, err)
	}
}

// TestReservationOfTheDead has a process killed that has reserved room.
func TestReservationOfTheDead(t *testing.T) {
	if dir := os.Getenv("JAMESC_TEST_RESERVE"); dir != "" {
		d, err := disk.Open(dir, disk.Options{})
		if err == nil {
			_, err = d.Reserve(".", 32<<20)
		}
		if err != nil {
			t.Fatal(err)
		}
		unix.Kill(os.Getpid(), unix.SIGKILL)
		select {}
	}
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ext4")
	mounttest.Ext4(t, dir, 64)
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	before, err := d.Space(".")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestReservationOfTheDead$")
	cmd.Env = append(os.Environ(), "JAMESC_TEST_RESERVE="+dir)
	var exit *exec.ExitError
	if out, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("%v: %s", err, out)
	}
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		after, err := d.Space(".")
		if err == nil && after.Free == before.Free && after.Files == before.Files {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%+v is left of %+v, %v", after, before, err)
		}
	}
}

// TestReserveNothing has file systems that cannot reserve room, or should not.
func TestReserveNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tmpfs")
	mounttest.Tmpfs(t, dir, "size=8m")
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	r, err := d.Reserve(".", 4<<20)
	if r != nil || err != nil {
		t.Errorf("%v, %v", r, err)
	}
	r.Use(1)
	r.Close()
}

// TestGrow takes more for a reservation, until there is no more.
func TestGrow(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ext4")
	mounttest.Ext4(t, dir, 32)
	d, err := disk.Open(dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	free := func() int64 {
		s, err := d.Space(".")
		if err != nil {
			t.Fatal(err)
		}
		return s.Free
	}
	before := free()
	r, err := d.Reserve(".", 4<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.Use(3 << 20)
	if err := r.Grow(5 << 20); err != nil {
		t.Fatal(err)
	}
	if taken := before - free(); taken < 5<<20 || taken > 7<<20 {
		t.Errorf("%d bytes are taken", taken)
	}
	if err := r.Grow(before); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("more than there is: %v", err)
	}
	r.Use(10 << 20)
	if taken := before - free(); taken > 1<<20 {
		t.Errorf("%d bytes are taken when all is used", taken)
	}
	var none *disk.Reservation
	if err := none.Grow(1); err != nil {
		t.Error(err)
	}
}
