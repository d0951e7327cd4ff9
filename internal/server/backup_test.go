package server_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// TestBackupBesideUploads: while somebody is slow to read a backup, packets come and go,
// and it has those of its moment, and restores as such.
func TestBackupBesideUploads(t *testing.T) {
	t.Parallel()
	db := t.TempDir()
	p := run(t, nil, standard(db)...)
	p.logged(t, "ready")
	admin := p.client(t, "root")
	add := func(name string, seed int) james.Digest {
		resp, err := admin.AddPacket(t.Context(), james.AddPacketRequest{Name: name}, bytes.NewReader(tarOf(t, string(noise(seed, 8<<20)))))
		must(t, err)
		return resp.Packet.Digest
	}
	before := add("before", 1)

	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, "backup", "--db", db, "--to", "-")
	cmd.Env = append(os.Environ(), "JAMESD_IS_THIS_TEST=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	first := make([]byte, 1000)
	_, err = io.ReadFull(out, first) // its moment has been
	must(t, err)
	add("meanwhile", 2)
	must(t, admin.DeletePacket(t.Context(), before, true))
	must(t, ageBlobs(db))
	if code, out := command(t, "check", "--db", db, "--repair"); code != 0 { // collects, if it may
		t.Errorf("check exited with %d: %s", code, out)
	}
	rest, err := io.ReadAll(out)
	must(t, err)
	must(t, cmd.Wait())

	file, restored := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "db")
	must(t, os.WriteFile(file, append(first, rest...), 0o600))
	if code, out := command(t, "restore", "--db", restored, "--from", file); code != 0 {
		t.Fatalf("restore exited with %d: %s", code, out)
	}
	if code, out := command(t, "check", "--db", restored); code != 0 {
		t.Fatalf("check exited with %d: %s", code, out)
	}
	p = run(t, nil, standard(restored)...)
	p.logged(t, "ready")
	packets, err := p.client(t, "root").Packets(t.Context(), "")
	must(t, err)
	if len(packets) != 1 || packets[0].Digest != before {
		t.Errorf("it has %+v", packets)
	}
}

// TestBackupUnderLoad makes backups while everything changes as fast as it can. Each
// restores as a whole, as it was at one moment between its beginning and its end.
func TestBackupUnderLoad(t *testing.T) {
	t.Parallel()
	victimCertificates(t)
	k := newSeveral(t, t.TempDir(), 1, rand.Uint64(), 300_000)
	stop := k.load()
	defer stop()
	admin := k.servers[0].client(t, "root")
	revisions := func() (out []uint64) {
		for i := range victims {
			d, err := admin.Desired(t.Context(), fmt.Sprint("victim-", i))
			must(t, err)
			out = append(out, d.Revision)
		}
		return out
	}
	soon(t, "that all are at work", func() bool { return least(k.changed()) > 0 })
	for range 3 {
		file, restored := filepath.Join(t.TempDir(), "b"), filepath.Join(t.TempDir(), "db")
		before := revisions()
		if code, out := command(t, "backup", "--db", k.db, "--to", file); code != 0 {
			t.Fatalf("backup exited with %d: %s", code, out)
		}
		after := revisions()
		if code, out := command(t, "restore", "--db", restored, "--from", file); code != 0 {
			t.Fatalf("restore exited with %d: %s", code, out)
		}
		if code, out := command(t, "check", "--db", restored); code != 0 {
			t.Fatalf("check exited with %d: %s", code, out)
		}
		r := &several{killing: &killing{t: t, db: restored, large: 300_000}}
		p := run(t, nil, standard(restored)...)
		p.logged(t, "ready")
		r.take(p)
		for _, c := range r.cells[0] {
			if _, err := c.read(t.Context()); err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
		}
		for i := range victims {
			d, err := p.client(t, "root").Desired(t.Context(), fmt.Sprint("victim-", i))
			must(t, err)
			if d.Revision < before[i] || d.Revision > after[i] {
				t.Errorf("victim-%d has revision %d, which was %d before the backup and %d after it", i, d.Revision, before[i], after[i])
			}
		}
		p.stop(t)
	}
	stop()
	k.settle()
}

// ageBlobs makes all blobs of a directory two hours old.
func ageBlobs(db string) error {
	files, err := filepath.Glob(filepath.Join(db, "blobs", "blobs", "*", "*"))
	old := time.Now().Add(-2 * time.Hour)
	for _, file := range files {
		if err == nil {
			err = os.Chtimes(file, old, old)
		}
	}
	return err
}

// TestKilledUpload: of an upload in the middle of which jamesd was killed nobody sees
// anything, and nothing stays.
func TestKilledUpload(t *testing.T) {
	t.Parallel()
	db := t.TempDir()
	p := run(t, nil, standard(db)...)
	p.logged(t, "ready")
	content := versionOf(t, "half", 3, 1_200_000)                                       // small contents, then a large one
	content = append(content[:len(content)-1024], tarOf(t, string(noise(2, 5<<20)))...) // without the end of the first
	r, w := io.Pipe()
	done := make(chan error, 1)
	admin := p.client(t, "root")
	go func() {
		_, err := admin.AddPacket(t.Context(), james.AddPacketRequest{Name: "half"}, r)
		done <- err
	}()
	_, err := w.Write(content[:len(content)-1<<20]) // some contents are whole, of the last there is a part
	must(t, err)
	blobs := filepath.Join(db, "blobs", "blobs", "*", "*")
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		if stored, _ := filepath.Glob(blobs); len(stored) > 0 {
			break
		}
		if time.Since(start) > patience {
			t.Fatal("nothing is stored of it")
		}
	}
	must(t, p.cmd.Process.Kill())
	<-p.ended
	w.CloseWithError(errUnfinished)
	if err := <-done; err == nil {
		t.Error("the upload succeeded")
	}

	p = run(t, nil, standard(db)...)
	p.logged(t, "ready")
	packets, err := p.client(t, "root").Packets(t.Context(), "")
	if err != nil || len(packets) > 0 {
		t.Errorf("there are %v, %v", packets, err)
	}
	must(t, ageBlobs(db))
	if code, out := command(t, "check", "--db", db, "--repair"); code != 0 {
		t.Errorf("check exited with %d: %s", code, out)
	}
	for _, left := range []string{blobs, filepath.Join(db, "blobs", "incoming", "*")} {
		if files, err := filepath.Glob(left); err != nil || len(files) > 0 {
			t.Errorf("left behind: %v, %v", files, err)
		}
	}
}
