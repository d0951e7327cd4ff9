package james

import (
	"iter"
	"slices"
	"strconv"
	"strings"
)

// Indices is a set of entries of one manifest, named by their places in its list.
// Its text form is ascending ranges such as "0-12,15"; the empty set is "". The
// zero value is the empty set, and the methods change nothing.
type Indices struct{ ranges []indexRange }

type indexRange struct{ first, last int }

// IndicesOf returns the set of those indices, which are not negative, in any order.
func IndicesOf(all ...int) Indices {
	sorted := slices.Compact(slices.Sorted(slices.Values(all)))
	var s Indices
	for _, i := range sorted {
		if n := len(s.ranges); n > 0 && s.ranges[n-1].last+1 == i {
			s.ranges[n-1].last = i
			continue
		}
		s.ranges = append(s.ranges, indexRange{i, i})
	}
	return s
}

// ParseIndices returns the set that s spells. It fails with KindInvalid for ranges
// that are malformed, out of order, that touch, or reach beyond MaxEntries.
func ParseIndices(s string) (Indices, error) {
	var out Indices
	if s == "" {
		return out, nil
	}
	next := 0
	for part := range strings.SplitSeq(s, ",") {
		r, ok := parseRange(part)
		if !ok || r.first < next || r.last >= MaxEntries {
			return Indices{}, Errorf(KindInvalid, "entries", "%.40q is not an ascending range of entries below %d", part, MaxEntries)
		}
		out.ranges = append(out.ranges, r)
		next = r.last + 2
	}
	return out, nil
}

func parseRange(s string) (indexRange, bool) {
	from, to, isRange := strings.Cut(s, "-")
	first, ok := parseIndex(from)
	if !ok || !isRange {
		return indexRange{first, first}, ok
	}
	last, ok := parseIndex(to)
	return indexRange{first, last}, ok && first < last
}

func parseIndex(s string) (int, bool) {
	n, err := strconv.Atoi(s)
	return n, err == nil && strconv.Itoa(n) == s && n >= 0
}

// IsZero reports whether the set is empty.
func (s Indices) IsZero() bool { return len(s.ranges) == 0 }

// Len returns how many there are.
func (s Indices) Len() int {
	n := 0
	for _, r := range s.ranges {
		n += r.last - r.first + 1
	}
	return n
}

// Max returns the largest, or -1 where there is none.
func (s Indices) Max() int {
	if s.IsZero() {
		return -1
	}
	return s.ranges[len(s.ranges)-1].last
}

// Has reports whether i is among them.
func (s Indices) Has(i int) bool {
	n, found := slices.BinarySearchFunc(s.ranges, i, func(r indexRange, i int) int { return r.first - i })
	return found || n > 0 && i <= s.ranges[n-1].last
}

// All iterates over them, ascending.
func (s Indices) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for _, r := range s.ranges {
			for i := r.first; i <= r.last; i++ {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// String returns the text form.
func (s Indices) String() string {
	var b []byte
	for n, r := range s.ranges {
		if n > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(r.first), 10)
		if r.last > r.first {
			b = strconv.AppendInt(append(b, '-'), int64(r.last), 10)
		}
	}
	return string(b)
}

// MarshalText encodes the set as String does.
func (s Indices) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText decodes what MarshalText encodes.
func (s *Indices) UnmarshalText(b []byte) error {
	parsed, err := ParseIndices(string(b))
	if err == nil {
		*s = parsed
	}
	return err
}
