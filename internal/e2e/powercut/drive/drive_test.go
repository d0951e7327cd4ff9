package drive_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/e2e/powercut/drive"
)

const blocks = 64

func open(t *testing.T) *drive.Drive {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(image, make([]byte, blocks*drive.Block), 0o600); err != nil {
		t.Fatal(err)
	}
	d, err := drive.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// fill writes a block full of one byte.
func fill(t *testing.T, d *drive.Drive, block int, b byte, fua bool) {
	t.Helper()
	if err := d.WriteAt(bytes.Repeat([]byte{b}, drive.Block), int64(block)*drive.Block, fua); err != nil {
		t.Fatal(err)
	}
}

// first returns the first byte of each of the first n blocks.
func first(t *testing.T, d *drive.Drive, n int) string {
	t.Helper()
	var out []byte
	for block := range n {
		b := make([]byte, 1)
		if err := d.ReadAt(b, int64(block)*drive.Block); err != nil {
			t.Fatal(err)
		}
		out = append(out, max(b[0], '.'))
	}
	return string(out)
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		do   func(d *drive.Drive)
		keep float64
		want string
		loss drive.Loss
	}{
		{"what was not flushed is gone", func(d *drive.Drive) { fill(t, d, 0, 'a', false) }, 0, "...", drive.Loss{Lost: 1}},
		{"or all of it is kept", func(d *drive.Drive) { fill(t, d, 0, 'a', false); fill(t, d, 0, 'b', false) }, 1, "b..", drive.Loss{Kept: 2}},
		{"what was flushed stays", func(d *drive.Drive) { fill(t, d, 0, 'a', false); d.Flush(); fill(t, d, 1, 'b', false) }, 0, "a..", drive.Loss{Lost: 1}},
		{"an overwritten block is as flushed", func(d *drive.Drive) { fill(t, d, 0, 'a', false); d.Flush(); fill(t, d, 0, 'b', false) }, 0, "a..", drive.Loss{Lost: 1}},
		{"fua is durable by itself", func(d *drive.Drive) { fill(t, d, 0, 'a', false); fill(t, d, 1, 'b', true) }, 0, ".b.", drive.Loss{Lost: 1}},
		{"fua ends what was written before", func(d *drive.Drive) { fill(t, d, 0, 'a', false); fill(t, d, 0, 'b', true) }, 1, "b..", drive.Loss{}},
		{"nothing after fua is kept", func(d *drive.Drive) { fill(t, d, 0, 'a', true); fill(t, d, 0, 'b', false) }, 0, "a..", drive.Loss{Lost: 1}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := open(t)
			test.do(d)
			loss, err := d.Cut(rand.New(rand.NewPCG(1, 1)), test.keep)
			if got := first(t, d, 3); got != test.want || loss != test.loss || err != nil {
				t.Errorf("blocks %q, %+v, %v; want %q, %+v", got, loss, err, test.want, test.loss)
			}
		})
	}
}

// TestCutKeepsAnyBlocks shows that a later write may survive an earlier one.
func TestCutKeepsAnyBlocks(t *testing.T) {
	t.Parallel()
	reordered := false
	for seed := range uint64(20) {
		d := open(t)
		fill(t, d, 0, 'a', false)
		fill(t, d, 1, 'b', false)
		if _, err := d.Cut(rand.New(rand.NewPCG(seed, 0)), 0.5); err != nil {
			t.Fatal(err)
		}
		reordered = reordered || first(t, d, 2) == ".b"
	}
	if !reordered {
		t.Error("the later block was never kept without the earlier one")
	}
}

func TestPartsOfBlocks(t *testing.T) {
	t.Parallel()
	d := open(t)
	fill(t, d, 0, 'a', true)
	if err := d.WriteAt([]byte("0123456789"), drive.Block-5, false); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 12)
	if err := d.ReadAt(got, drive.Block-6); err != nil || string(got) != "a0123456789\x00" {
		t.Errorf("read %q, %v", got, err)
	}
	if err := d.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := d.ReadAt(got, drive.Block-6); err != nil || string(got) != "a0123456789\x00" {
		t.Errorf("after a flush %q, %v", got, err)
	}
	for _, at := range []int64{-1, blocks*drive.Block - 11, 1 << 62} {
		if d.ReadAt(got, at) == nil || d.WriteAt(got, at, false) == nil {
			t.Errorf("an access at %d was done", at)
		}
	}
	if s := d.Stats(); s.Writes != 3 || s.Flushes != 2 {
		t.Errorf("stats %+v", s)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, content := range map[string]string{"empty": "", "odd": "12345"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := drive.Open(filepath.Join(dir, name)); err == nil {
			t.Errorf("%s was opened", name)
		}
	}
	if _, err := drive.Open(filepath.Join(dir, "none")); !os.IsNotExist(err) {
		t.Errorf("none: %v", err)
	}
}

// client speaks to a drive as qemu does.
type client struct {
	t    *testing.T
	conn net.Conn
}

func (c client) send(values ...any) {
	c.t.Helper()
	for _, v := range values {
		if err := binary.Write(c.conn, binary.BigEndian, v); err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c client) expect(values ...any) {
	c.t.Helper()
	for _, v := range values {
		want, _ := binary.Append(nil, binary.BigEndian, v)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(c.conn, got); err != nil || !bytes.Equal(got, want) {
			c.t.Fatalf("got %x, want %x: %v", got, want, err)
		}
	}
}

// request sends a request and expects its answer.
func (c client) request(kind, flags uint16, at uint64, size uint32, content []byte, errno uint32) {
	c.t.Helper()
	c.send(uint32(0x25609513), flags, kind, uint64(77), at, size)
	if content != nil {
		c.send(content)
	}
	c.expect(uint32(0x67446698), errno, uint64(77))
}

func TestServe(t *testing.T) {
	t.Parallel()
	d := open(t)
	ours, theirs := net.Pipe()
	ended := make(chan error)
	go func() { ended <- d.Serve(theirs) }()
	c := client{t, ours}

	c.expect([]byte("NBDMAGIC"), []byte("IHAVEOPT"), uint16(3))
	c.send(uint32(3))
	c.send([]byte("IHAVEOPT"), uint32(8), uint32(0)) // structured replies, which it does not have
	c.expect(uint64(0x3e889045565a9), uint32(8), uint32(1<<31|1), uint32(0))
	c.send([]byte("IHAVEOPT"), uint32(7), uint32(6), uint32(0), uint16(0))
	c.expect(uint64(0x3e889045565a9), uint32(7), uint32(3), uint32(12), uint16(0), uint64(blocks*drive.Block), uint16(1|4|8))
	c.expect(uint64(0x3e889045565a9), uint32(7), uint32(1), uint32(0))

	c.request(1, 0, 0, drive.Block, bytes.Repeat([]byte("a"), drive.Block), 0)
	c.request(1, 1, drive.Block, 4, []byte("bbbb"), 0)
	c.request(0, 0, drive.Block, 6, nil, 0)
	c.expect([]byte("bbbb\x00\x00"))
	c.request(3, 0, 0, 0, nil, 0)
	c.request(1, 0, 2*drive.Block, 1, []byte("c"), 0)
	c.request(0, 0, blocks*drive.Block, 1, nil, 22) // beyond the end
	c.request(1, 0, blocks*drive.Block, 1, []byte("x"), 5)
	c.request(99, 0, 0, 0, nil, 22)
	ours.Close() // as if killed
	if err := <-ended; err != nil {
		t.Errorf("the end of the client: %v", err)
	}
	if loss, err := d.Cut(rand.New(rand.NewPCG(1, 1)), 0); loss.Lost != 1 || err != nil {
		t.Errorf("loss %+v, %v", loss, err)
	}
	if got := first(t, d, 3); got != "ab." {
		t.Errorf("blocks %q", got)
	}
}

func TestServeRefusesNonsense(t *testing.T) {
	t.Parallel()
	d := open(t)
	ours, theirs := net.Pipe()
	ended := make(chan error)
	go func() { ended <- d.Serve(theirs) }()
	c := client{t, ours}
	c.expect([]byte("NBDMAGIC"), []byte("IHAVEOPT"), uint16(3))
	c.send(uint32(3), []byte("GET / HTTP/1.1\r\n"))
	if err := <-ended; err == nil {
		t.Error("it was served")
	}
}
