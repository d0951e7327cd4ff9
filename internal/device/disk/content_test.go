package disk_test

import (
	"bytes"
	"os"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
)

func TestContentGoesOn(t *testing.T) {
	t.Parallel()
	for name, sparse := range map[string]bool{"plain": false, "sparse": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := disk.Open(t.TempDir(), disk.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			want := append(bytes.Repeat([]byte("data"), 1<<10), make([]byte, 1<<20)...)
			want = append(append(want, "end"...), make([]byte, 1<<20)...)
			write := func(c *disk.Content, err error, b []byte) {
				t.Helper()
				if err != nil {
					t.Fatal(err)
				}
				for len(b) > 0 {
					n := min(len(b), 1000)
					if _, err := c.Write(b[:n]); err != nil {
						t.Fatal(err)
					}
					b = b[n:]
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
			}
			c, err := d.CreateContent("f", sparse)
			write(c, err, want[:500_001])
			c, err = d.ContinueContent("f", sparse)
			if err == nil && c.Size() != 500_001 {
				t.Errorf("%d bytes are there", c.Size())
			}
			write(c, err, want[500_001:])
			got, err := os.ReadFile(d.Abs("f"))
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%d bytes that differ, %v", len(got), err)
			}
			info, err := d.Lstat("f")
			if err != nil {
				t.Fatal(err)
			}
			if full := info.Blocks*512 >= info.Size; full == sparse {
				t.Errorf("%d blocks are allocated for %d bytes", info.Blocks, info.Size)
			}
		})
	}
}

// TestContentLeavesOtherNames makes a content anew whose former file has another
// name, as an installed file would.
func TestContentLeavesOtherNames(t *testing.T) {
	t.Parallel()
	d, err := disk.Open(t.TempDir(), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := os.WriteFile(d.Abs("f"), []byte("before"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Link("f", "installed"); err != nil {
		t.Fatal(err)
	}
	c, err := d.CreateContent("f", false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("after")); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"f": "after", "installed": "before"} {
		if got, err := os.ReadFile(d.Abs(name)); string(got) != want || err != nil {
			t.Errorf("%s holds %q, %v", name, got, err)
		}
	}
}
