package disktest_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
)

// outcomes are the trees that a power cut after the last operation can leave:
// "name=content" of the files and "name/" of the directories, in order.
func (b *bench) outcomes() map[string]bool {
	b.t.Helper()
	h, all := b.history(), map[string]bool{}
	for l := range h.Losses(disktest.Point{N: len(h.Ops), After: true}, disktest.Budget{Seed: 1, Random: 50}) {
		all[brief(l.Image)] = true
	}
	all[brief(h.Kill(disktest.Point{N: len(h.Ops), After: true}))] = true
	return all
}

func brief(image *disktest.Image) string {
	var out []string
	lines := image.Describe(0, disktest.NoTimes)
	for _, path := range slices.Sorted(maps.Keys(lines)) {
		switch line := lines[path]; {
		case path == ".":
		case line[0] == 'd':
			out = append(out, path+"/")
		default:
			_, content, _ := strings.Cut(line, ` "`)
			content, _, _ = strings.Cut(content, `"`)
			out = append(out, path+"="+content)
		}
	}
	return strings.Join(out, " ")
}

// TestLosses says what a power cut may leave, and what not.
func TestLosses(t *testing.T) {
	t.Parallel()
	old := func(d *disk.Disk) {
		check(t, d.Mkdir("a", 0o755))
		check(t, d.Mkdir("b", 0o755))
		check(t, d.WriteNew("a/x", strings.NewReader("old"), disk.New{Meta: disk.Meta{Mode: 0o600}}))
	}
	for _, c := range []struct {
		name       string
		do         func(b *bench)
		may, never []string
	}{{
		name: "nothing is synced",
		do:   func(b *bench) { b.write("new", "1") },
		may:  []string{"a/ a/x=old b/", "a/ a/x=old b/ new=", "a/ a/x=old b/ new=1"},
	}, {
		name:  "a file is synced, its name is not",
		do:    func(b *bench) { b.write("new", "1"); check(b.t, b.Fsync("new")) },
		may:   []string{"a/ a/x=old b/", "a/ a/x=old b/ new=1"},
		never: []string{"a/ a/x=old b/ new="},
	}, {
		name:  "a name is synced, its file is not",
		do:    func(b *bench) { b.write("new", "123"); check(b.t, b.Fsync(".")) },
		may:   []string{"a/ a/x=old b/ new=", "a/ a/x=old b/ new=1", "a/ a/x=old b/ new=123", `a/ a/x=old b/ new=\x00\x00\x00`},
		never: []string{"a/ a/x=old b/"},
	}, {
		name: "a rename is synced on one side",
		do:   func(b *bench) { check(b.t, b.Rename("a/x", "b/y")); check(b.t, b.Fsync("a")) },
		may:  []string{"a/ a/x=old b/", "a/ b/ b/y=old"}, never: []string{"a/ b/", "a/ a/x=old b/ b/y=old"},
	}, {
		name: "a rename is synced on both sides",
		do: func(b *bench) {
			check(b.t, b.Rename("a/x", "b/y"))
			check(b.t, b.Fsync("a"))
			check(b.t, b.Fsync("b"))
		},
		may: []string{"a/ b/ b/y=old"}, never: []string{"a/ a/x=old b/"},
	}, {
		name: "the second rename without the first loses what was there",
		do: func(b *bench) {
			b.write("b/new", "new")
			check(b.t, b.Fsync("b/new"))
			check(b.t, b.Fsync("b"))
			check(b.t, b.Rename("a/x", "b/x"))
			check(b.t, b.Rename("b/new", "a/x"))
		},
		may:   []string{"a/ a/x=new b/", "a/ a/x=new b/ b/x=old", "a/ a/x=old b/ b/new=new", "a/ b/ b/new=new b/x=old"},
		never: []string{"a/ b/", "a/ a/x=old b/"},
	}, {
		name: "a directory takes what is in it with it",
		do: func(b *bench) {
			check(b.t, b.Mkdir("b/d", 0o755))
			b.write("b/d/f", "1")
			check(b.t, b.Fsync("b/d/f"))
			check(b.t, b.Fsync("b/d"))
		},
		may: []string{"a/ a/x=old b/", "a/ a/x=old b/ b/d/ b/d/f=1"}, never: []string{"a/ a/x=old b/ b/d/"},
	}, {
		name: "a directory is not removed without what emptied it",
		do: func(b *bench) {
			check(b.t, b.Rename("a/x", "b/x"))
			check(b.t, b.Rmdir("a"))
		},
		may:   []string{"a/ a/x=old b/", "a/ b/ b/x=old", "b/ b/x=old"},
		never: []string{"b/"},
	}, {
		name: "what is moved into a new directory is not lost with it",
		do: func(b *bench) {
			check(b.t, b.MkdirAll("b/c/d", 0o755))
			check(b.t, b.Rename("a/x", "b/c/d/x"))
		},
		may:   []string{"a/ a/x=old b/", "a/ b/ b/c/ b/c/d/ b/c/d/x=old", "a/ a/x=old b/ b/c/"},
		never: []string{"a/ b/", "a/ b/ b/c/"},
	}, {
		name: "unless the move is durable and the directory is not",
		do: func(b *bench) {
			check(b.t, b.Mkdir("b/c", 0o755))
			check(b.t, b.Rename("a/x", "b/c/x"))
			check(b.t, b.Fsync("a"))
			check(b.t, b.Fsync("b/c"))
		},
		may: []string{"a/ b/", "a/ b/ b/c/ b/c/x=old"}, never: []string{"a/ a/x=old b/"},
	}, {
		name: "syncfs makes all durable",
		do: func(b *bench) {
			b.write("new", "1")
			check(b.t, b.Rename("a/x", "b/y"))
			batch := must(b.NewBatch("b"))
			defer batch.Close()
			batch.Add("b")
			check(b.t, batch.Flush())
		},
		may: []string{"a/ b/ b/y=old new=1"}, never: []string{"a/ a/x=old b/ new=1", "a/ b/ b/y=old"},
	}, {
		name: "appends are lost one by one",
		do: func(b *bench) {
			file := must(b.OpenAppend("log"))
			defer file.Close()
			must(file.Write([]byte("ab")))
			check(b.t, file.Sync())
			must(file.Write([]byte("cd")))
			must(file.Write([]byte("ef")))
		},
		may:   []string{"a/ a/x=old b/ log=ab", "a/ a/x=old b/ log=abcd", `a/ a/x=old b/ log=ab\x00\x00ef`, "a/ a/x=old b/ log=abc", `a/ a/x=old b/ log=abcd\x00\x00`},
		never: []string{"a/ a/x=old b/", "a/ a/x=old b/ log="},
	}, {
		name: "a file that was replaced keeps one content or the other",
		do:   func(b *bench) { check(b.t, b.Replace("a/x", []byte("new"), 0o600)) },
		may:  []string{"a/ a/x=new b/"}, never: []string{"a/ a/x=old b/", "a/ a/x= b/", "a/ b/"},
	}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, false, old)
			c.do(b)
			got := b.outcomes()
			for _, want := range c.may {
				if !got[want] {
					t.Errorf("%q is not among %q", want, slices.Sorted(maps.Keys(got)))
				}
			}
			for _, not := range c.never {
				if got[not] {
					t.Errorf("%q is among them", not)
				}
			}
		})
	}
}

// TestMetadataIsLostByParts has the owner, mode and time of a file change.
func TestMetadataIsLostByParts(t *testing.T) {
	t.Parallel()
	b := newBench(t, false, func(d *disk.Disk) {
		check(t, d.WriteNew("x", strings.NewReader(""), disk.New{Meta: disk.Meta{Mode: 0o600, Time: start}}))
	})
	check(t, b.SetMeta("x", disk.Meta{Mode: 0o4755, Time: start.AddDate(1, 0, 0)}))
	h, lines := b.history(), map[string]bool{}
	for l := range h.Losses(disktest.Point{N: len(h.Ops), After: true}, disktest.Budget{}) {
		lines[l.Image.Describe(0, disktest.FileTimes)["x"]] = true
	}
	if len(lines) != 4-1 { // mode and time are kept or not; both is no loss
		t.Errorf("there are %q", slices.Collect(maps.Keys(lines)))
	}
}

// TestLinkIsSyncedWithItsDirectory has a symbolic link, which cannot be synced.
func TestLinkIsSyncedWithItsDirectory(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sync string
		want int
	}{{"a", 1}, {".", 4}} { // the name and the time are there, or either not
		b := newBench(t, true, func(d *disk.Disk) { check(t, d.Mkdir("a", 0o755)) })
		check(t, b.Symlink("x", "a/link", disk.Meta{UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()), Time: start.AddDate(-1, 0, 0)}))
		check(t, b.Fsync(c.sync))
		h, lines := b.history(), map[string]bool{}
		p := disktest.Point{N: len(h.Ops), After: true}
		lines[h.Kill(p).Describe(0, disktest.FileTimes)["a/link"]] = true
		for l := range h.Losses(p, disktest.Budget{Random: 20}) {
			lines[l.Image.Describe(0, disktest.FileTimes)["a/link"]] = true
		}
		if len(lines) > c.want || len(lines) == 1 != (c.want == 1) {
			t.Errorf("with %s synced there are %q", c.sync, slices.Collect(maps.Keys(lines)))
		}
	}
}

// TestLossesAreTheSameAgain compares two runs over one history.
func TestLossesAreTheSameAgain(t *testing.T) {
	t.Parallel()
	b := newBench(t, true, nil)
	everything(b)
	h := b.history()
	list := func(seed uint64) (all [][32]byte) {
		for n := range h.Ops {
			for l := range h.Losses(disktest.Point{N: n + 1}, disktest.Budget{Seed: seed, Singles: 4, Random: 3}) {
				all = append(all, l.Image.Digest(start))
			}
		}
		return all
	}
	one := list(1)
	if len(one) < 500 {
		t.Errorf("%d states only", len(one))
	}
	if !slices.Equal(one, list(1)) {
		t.Error("one seed gives different states")
	}
	if slices.Equal(one, list(2)) {
		t.Error("two seeds give the same states")
	}
}
