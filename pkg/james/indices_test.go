package james_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/trusch/jamesd/pkg/james"
)

func TestIndices(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		all := rapid.SliceOfN(rapid.IntRange(0, 60), 0, 40).Draw(t, "all")
		want := slices.Compact(slices.Sorted(slices.Values(all)))
		set := james.IndicesOf(all...)
		if got := slices.Collect(set.All()); !slices.Equal(got, want) || set.Len() != len(want) || set.IsZero() != (len(want) == 0) {
			t.Fatalf("%v became %v (%q)", want, got, set)
		}
		for i := range 62 {
			if set.Has(i) != slices.Contains(want, i) {
				t.Fatalf("%q has %d: %v", set, i, set.Has(i))
			}
		}
		again, err := james.ParseIndices(set.String())
		if err != nil || again.String() != set.String() || again.Max() != set.Max() {
			t.Fatalf("%q was read as %q, %v", set, again, err)
		}
	})
}

func TestIndicesRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"not a number": "a", "negative": "-1", "no end": "1-", "backwards": "3-2", "one as a range": "3-3", "out of order": "5,4",
		"twice": "4,4", "touching": "1-2,3", "leading zero": "01", "plus": "+1", "beyond": "0-250000", "empty part": "1,,3", "huge": "99999999999999999999",
	} {
		if set, err := james.ParseIndices(text); james.KindOf(err) != james.KindInvalid {
			t.Errorf("%s: %q was taken as %q, %v", name, text, set, err)
		}
	}
}
