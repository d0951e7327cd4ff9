package delta

import (
	"cmp"
	"slices"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// Pairing says which files a new one may be patched from.
type Pairing struct {
	New int   // place of the new file in its manifest
	Old []int // places of its bases in theirs, the likeliest first; 1 to MaxBases
}

// MaxBases is how many bases a Pairing offers. There are several only where the paths
// do not tell them apart.
const MaxBases = 4

// Pair returns a pairing, in the order of new, for each file of new whose content is
// not in old and that has a likely base there: the file at the same path, or one that
// was renamed as versions are, its base name and most of its path alike but for
// numbers. A file of old may be the base of several. The entries are those of
// manifests, sorted by path.
func Pair(old, new []james.Entry) []Pairing {
	known := make(map[james.Digest]bool, len(old))
	for i := range old {
		known[old[i].Digest] = true
	}
	var names *renames
	var out []Pairing
	for i := range new {
		e := &new[i]
		if e.Type != james.TypeFile || e.Size == 0 || known[e.Digest] {
			continue
		}
		if at, ok := samePath(old, e.Path); ok {
			out = append(out, Pairing{New: i, Old: []int{at}})
			continue
		}
		if names == nil {
			names = newRenames(old)
		}
		if bases := names.find(e); len(bases) > 0 {
			out = append(out, Pairing{New: i, Old: bases})
		}
	}
	return out
}

func samePath(old []james.Entry, p james.Path) (int, bool) {
	at, ok := slices.BinarySearchFunc(old, p, func(e james.Entry, p james.Path) int { return cmp.Compare(e.Path, p) })
	return at, ok && isBase(&old[at])
}

func isBase(e *james.Entry) bool { return e.Type == james.TypeFile && e.Size > 0 }

// renames finds files by what is left of their paths without numbers.
type renames struct {
	old    []james.Entry
	byName map[string][]renamed // by the base name without numbers, sorted by key
}

type renamed struct {
	key string // the path without numbers
	at  int    // in old
}

func newRenames(old []james.Entry) *renames {
	r := &renames{old: old, byName: make(map[string][]renamed, len(old))}
	for i := range old {
		if isBase(&old[i]) {
			key, name := keys(old[i].Path)
			r.byName[name] = append(r.byName[name], renamed{key, i})
		}
	}
	for _, list := range r.byName {
		slices.SortStableFunc(list, func(a, b renamed) int { return cmp.Compare(a.key, b.key) })
	}
	return r
}

func keys(p james.Path) (key, name string) {
	key = withoutNumbers(string(p))
	return key, key[strings.LastIndexByte(key, '/')+1:]
}

// neighbours is how many files of the same name are looked at for a new one: those
// whose paths are nearest to its own in their order.
const neighbours = 32

// find returns the likeliest bases of e: the best one, and those that are as good.
func (r *renames) find(e *james.Entry) []int {
	key, name := keys(e.Path)
	list := r.byName[name]
	at, _ := slices.BinarySearchFunc(list, key, func(f renamed, key string) int { return cmp.Compare(f.key, key) })
	list = list[max(0, at-neighbours/2):min(len(list), at+neighbours)]
	type scored struct{ at, score int }
	var good []scored
	for _, f := range list {
		if score, ok := likeness(e, key, &r.old[f.at], f.key); ok {
			good = append(good, scored{f.at, score})
		}
	}
	slices.SortStableFunc(good, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	var out []int
	for _, g := range good {
		if g.score < good[0].score || len(out) == MaxBases {
			break
		}
		out = append(out, g.at)
	}
	return out
}

// likeness returns how alike two files are by path, and whether that is enough: their
// sizes are of the same order, and more than half of their directories are the same
// but for numbers.
func likeness(e *james.Entry, key string, old *james.Entry, oldKey string) (int, bool) {
	if e.Size > 8*old.Size+4096 || old.Size > 8*e.Size+4096 {
		return 0, false
	}
	dirs := max(strings.Count(key, "/"), strings.Count(oldKey, "/"))
	alike := commonDirs(key, oldKey)
	if 2*alike < dirs {
		return 0, false
	}
	// What the numbers are tells files of one directory apart: ext4.ko from ext2.ko,
	// where both have moved with the version of the directory.
	name, oldName := baseName(string(e.Path)), baseName(string(old.Path))
	score := 1000 * (alike - dirs)
	if name == oldName {
		score += 500
	}
	return score + commonEnds(name, oldName) + 10*commonDirs(string(e.Path), string(old.Path)), true
}

func baseName(p string) string { return p[strings.LastIndexByte(p, '/')+1:] }

// commonDirs returns how many directories of two paths are the same, counted from
// both ends.
func commonDirs(a, b string) int {
	x, y := strings.Split(a, "/"), strings.Split(b, "/")
	x, y = x[:len(x)-1], y[:len(y)-1]
	n := 0
	for ; len(x) > 0 && len(y) > 0 && x[0] == y[0]; n++ {
		x, y = x[1:], y[1:]
	}
	for ; len(x) > 0 && len(y) > 0 && x[len(x)-1] == y[len(y)-1]; n++ {
		x, y = x[:len(x)-1], y[:len(y)-1]
	}
	return n
}

// commonEnds returns how many bytes two names have in common at their ends.
func commonEnds(a, b string) int {
	n := 0
	for ; n < len(a) && n < len(b) && a[n] == b[n]; n++ {
	}
	a, b = a[n:], b[n:]
	for i := 1; i <= len(a) && i <= len(b) && a[len(a)-i] == b[len(b)-i]; i++ {
		n++
	}
	return n
}

// withoutNumbers returns p with a # for each number or version, and for each long
// hexadecimal number, such as the digest in a name.
func withoutNumbers(p string) string {
	b := make([]byte, 0, len(p))
	for i := 0; i < len(p); {
		n := numberAt(p, i)
		if n == 0 {
			b = append(b, p[i])
			n = 1
		} else {
			b = append(b, '#')
		}
		i += n
	}
	return string(b)
}

// shortestDigest is how many hexadecimal digits are taken for a digest.
const shortestDigest = 7

// numberAt returns the length of the number, version or digest that begins at i, or 0.
func numberAt(p string, i int) int {
	hex, digits := 0, 0
	for ; i+hex < len(p) && isHex(p[i+hex]); hex++ {
		if isDigit(p[i+hex]) {
			digits++
		}
	}
	if hex >= shortestDigest && digits > 0 {
		return hex
	}
	n := 0
	for i+n < len(p) && (isDigit(p[i+n]) || n > 0 && p[i+n] == '.' && i+n+1 < len(p) && isDigit(p[i+n+1])) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c >= 'a' && c <= 'f' }
