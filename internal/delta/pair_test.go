package delta_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/pkg/james"
)

// file returns an entry whose content is told by a word.
func file(path, content string, size int64) james.Entry {
	return james.Entry{Path: james.Path(path), Type: james.TypeFile, Size: size, Digest: james.DigestOf([]byte(content))}
}

func TestPair(t *testing.T) {
	t.Parallel()
	const modules, other = "lib/modules/6.1.0-55-cloud-amd64/kernel/fs/", "lib/modules/6.1.0-56-cloud-amd64/kernel/fs/"
	tests := []struct {
		name string
		old  []james.Entry
		path string
		size int64
		want []string
	}{
		{"the same path", []james.Entry{file("bin/a", "1", 10), file("bin/b", "2", 10)}, "bin/b", 10, []string{"bin/b"}},
		{"the same path of another size", []james.Entry{file("bin/a", "1", 1)}, "bin/a", 1e9, []string{"bin/a"}},
		{"a directory with a version", []james.Entry{file(modules+"ext2.ko", "1", 5), file(modules+"ext4.ko", "2", 5), file(modules+"fat.ko", "3", 5)},
			other + "ext4.ko", 5, []string{modules + "ext4.ko"}},
		{"a library's version", []james.Entry{file("usr/lib/libbar.so.1.2.3", "1", 5), file("usr/lib/libfoo.so.1.2.3", "2", 5)},
			"usr/lib/libfoo.so.1.3", 5, []string{"usr/lib/libfoo.so.1.2.3"}},
		{"a version in a directory's name", []james.Entry{file("usr/lib/python3.11/os.py", "1", 5), file("usr/lib/python3.11/test/os.py", "2", 5)},
			"usr/lib/python3.12/os.py", 5, []string{"usr/lib/python3.11/os.py"}},
		{"a digest in the name", []james.Entry{file("srv/app/main.3f2a1bc9.js", "1", 5)}, "srv/app/main.ffeed012.js", 5, []string{"srv/app/main.3f2a1bc9.js"}},
		{"one more directory", []james.Entry{file("usr/lib/x86/plugins/a.so", "1", 5)}, "usr/lib/plugins/a.so", 5, []string{"usr/lib/x86/plugins/a.so"}},
		{"a tie", []james.Entry{file("d/1/x", "1", 5), file("d/2/x", "2", 5)}, "d/3/x", 5, []string{"d/1/x", "d/2/x"}},
		{"more of a tie than is offered", []james.Entry{file("d/1/x", "1", 5), file("d/2/x", "2", 5), file("d/3/x", "3", 5), file("d/4/x", "4", 5), file("d/5/x", "5", 5)},
			"d/9/x", 5, []string{"d/1/x", "d/2/x", "d/3/x", "d/4/x"}},
		{"another name", []james.Entry{file("bin/a", "1", 5)}, "bin/b", 5, nil},
		{"the same name elsewhere", []james.Entry{file("usr/share/doc/foo/README", "1", 5)}, "opt/bar/baz/qux/README", 5, nil},
		{"of quite another size", []james.Entry{file("d/1/x", "1", 5)}, "d/2/x", 1e6, nil},
		{"an empty base", []james.Entry{file("bin/a", "1", 0)}, "bin/a", 5, nil},
		{"a directory there", []james.Entry{{Path: "bin/a", Type: james.TypeDir}}, "bin/a", 5, nil},
		{"the same content elsewhere", []james.Entry{file("bin/a", "new", 5), file("bin/b", "2", 5)}, "bin/b", 5, nil},
		{"an empty file", []james.Entry{file("bin/a", "1", 5)}, "bin/a", 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, p := range delta.Pair(tt.old, []james.Entry{{Path: "0", Type: james.TypeDir}, file(tt.path, "new", tt.size)}) {
				if p.New != 1 {
					t.Errorf("the new file is entry %d, want 1", p.New)
				}
				for _, i := range p.Old {
					got = append(got, string(tt.old[i].Path))
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("bases %q, want %q", got, tt.want)
			}
		})
	}
}

// BenchmarkPair pairs all files of a large packet, of which each has been renamed and
// all have the same name.
func BenchmarkPair(b *testing.B) {
	var old, new []james.Entry
	for i := range 50_000 {
		dir := fmt.Sprintf("v%d/%c%c/%05d/", 1, 'a'+i%7, 'a'+i%11, i)
		old = append(old, file(dir+"Makefile", fmt.Sprint(i), 100))
		new = append(new, file("x/"+dir+"Makefile", fmt.Sprint(-i), 100))
	}
	sortByPath := func(a, b james.Entry) int { return cmpPath(a.Path, b.Path) }
	slices.SortFunc(old, sortByPath)
	slices.SortFunc(new, sortByPath)
	for b.Loop() {
		delta.Pair(old, new)
	}
}

func cmpPath(a, b james.Path) int {
	if a < b {
		return -1
	}
	return 1
}
