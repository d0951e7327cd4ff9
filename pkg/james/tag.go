package james

import (
	"encoding/json"
	"iter"
	"slices"
	"strings"
)

// Tag is one property of a packet or a device, such as "v1.0.0", "armv7l" or
// "glibc-2.23".
type Tag string

// CheckTag returns an error of KindInvalid unless s can be a tag: 1 to
// MaxTagLen bytes of ASCII letters, digits and "+-._:=/@~", the first a letter
// or digit.
func CheckTag(s string) error {
	return check("tag", s, MaxTagLen, "+-._:=/@~")
}

// TagSet is a set of tags, sorted and unique by construction. The zero value is
// the empty set; a set is never changed once made.
type TagSet struct {
	tags []Tag
}

// NewTagSet returns the set of the given tags. It fails with KindInvalid for a
// malformed tag or more than MaxTags of them.
func NewTagSet(tags ...string) (TagSet, error) {
	set := make([]Tag, 0, len(tags))
	for _, t := range tags {
		if err := CheckTag(t); err != nil {
			return TagSet{}, err
		}
		set = append(set, Tag(t))
	}
	slices.Sort(set)
	set = slices.Compact(set)
	if len(set) > MaxTags {
		return TagSet{}, Errorf(KindInvalid, "tags", "there are %d, the limit is %d", len(set), MaxTags)
	}
	return TagSet{slices.Clip(set)}, nil
}

// ParseTags returns the set that a comma-separated list such as "v1,armv7l"
// names. White space around a tag is dropped; an empty list is the empty set.
func ParseTags(list string) (TagSet, error) {
	if strings.TrimSpace(list) == "" {
		return TagSet{}, nil
	}
	parts := strings.Split(list, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return NewTagSet(parts...)
}

// MustTags is ParseTags for constant lists; it panics on a malformed one.
func MustTags(list string) TagSet {
	set, err := ParseTags(list)
	if err != nil {
		panic(err)
	}
	return set
}

// Len returns the number of tags.
func (s TagSet) Len() int { return len(s.tags) }

// IsZero reports whether the set is empty.
func (s TagSet) IsZero() bool { return len(s.tags) == 0 }

// All iterates over the tags in order.
func (s TagSet) All() iter.Seq[Tag] { return slices.Values(s.tags) }

// Strings returns the tags in order; it is empty, not nil, for the empty set.
func (s TagSet) Strings() []string {
	out := make([]string, len(s.tags))
	for i, t := range s.tags {
		out[i] = string(t)
	}
	return out
}

// Has reports whether t is in the set.
func (s TagSet) Has(t Tag) bool {
	// To compare for equality costs little where lengths differ, so in the few
	// tags of most sets looking at each is faster than halving.
	if len(s.tags) <= 16 {
		return slices.Contains(s.tags, t)
	}
	_, ok := slices.BinarySearch(s.tags, t)
	return ok
}

// SubsetOf reports whether every tag of s is in one of the given sets.
func (s TagSet) SubsetOf(sets ...TagSet) bool {
	for _, t := range s.tags {
		if !slices.ContainsFunc(sets, func(o TagSet) bool { return o.Has(t) }) {
			return false
		}
	}
	return true
}

// Union returns the tags that are in s or in o. It may exceed MaxTags.
func (s TagSet) Union(o TagSet) TagSet {
	all := slices.Concat(s.tags, o.tags)
	slices.Sort(all)
	return TagSet{slices.Compact(all)}
}

// Minus returns the tags of s that are not in o.
func (s TagSet) Minus(o TagSet) TagSet {
	var out []Tag
	for _, t := range s.tags {
		if !o.Has(t) {
			out = append(out, t)
		}
	}
	return TagSet{out}
}

// Intersect returns the tags that are in s and in o.
func (s TagSet) Intersect(o TagSet) TagSet { return s.Minus(s.Minus(o)) }

// Equal reports whether both sets have the same tags.
func (s TagSet) Equal(o TagSet) bool { return slices.Equal(s.tags, o.tags) }

// String returns the tags in order, separated by commas. It is the canonical
// form: two sets are equal exactly when their strings are.
func (s TagSet) String() string { return strings.Join(s.Strings(), ",") }

// MarshalJSON encodes the set as an array of strings. No tag has anything to escape.
func (s TagSet) MarshalJSON() ([]byte, error) {
	size := len("[]")
	for _, t := range s.tags {
		size += len(t) + len(`"",`)
	}
	out := append(make([]byte, 0, size), '[')
	for i, t := range s.tags {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(append(append(out, '"'), t...), '"')
	}
	return append(out, ']'), nil
}

// UnmarshalJSON decodes an array of strings in any order and checks each.
func (s *TagSet) UnmarshalJSON(b []byte) error {
	list, ok := plainStrings(string(b))
	if !ok {
		if err := json.Unmarshal(b, &list); err != nil {
			return Errorf(KindInvalid, "tags", "must be a list of strings")
		}
	}
	set, err := NewTagSet(list...)
	if err == nil {
		*s = set
	}
	return err
}

// plainStrings reads an array of strings as MarshalJSON writes them, without white
// space and escapes. A jamesd with a large fleet reads millions of them at its start.
func plainStrings(array string) (list []string, ok bool) {
	rest, ok := strings.CutPrefix(array, "[")
	if !ok || rest == "]" {
		return nil, rest == "]"
	}
	list = make([]string, 0, strings.Count(rest, ",")+1)
	for {
		if rest, ok = strings.CutPrefix(rest, `"`); !ok {
			return nil, false
		}
		end := strings.IndexByte(rest, '"')
		if end < 0 || strings.IndexByte(rest[:end], '\\') >= 0 {
			return nil, false
		}
		list, rest = append(list, rest[:end]), rest[end+1:]
		if rest == "]" {
			return list, true
		}
		if rest, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, false
		}
	}
}

// MarshalYAML encodes the set as a list of strings.
func (s TagSet) MarshalYAML() (any, error) { return s.Strings(), nil }

// UnmarshalYAML decodes a list of strings in any order and checks each.
func (s *TagSet) UnmarshalYAML(unmarshal func(any) error) error {
	var list []string
	if err := unmarshal(&list); err != nil {
		return err
	}
	set, err := NewTagSet(list...)
	if err == nil {
		*s = set
	}
	return err
}
