package supply_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/server/supply"
)

// TestSaved: what a stream spares is what is not wanted of its packets, and what comes
// as patches in place of whole; who goes on with it is spared the same.
func TestSaved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	old, new := w.upgrade()
	saved := func(s *supply.Stream) supply.Saved {
		defer s.Close()
		return s.Saved
	}
	all := ask(new, []int{0, 1, 2, 3})
	s, err := w.Stream(t.Context(), all)
	must(t, err)
	if got := saved(s); got != (supply.Saved{}) {
		t.Errorf("of everything it spares %+v", got)
	}
	s, err = w.Stream(t.Context(), ask(new, []int{0, 2}, old))
	must(t, err)
	// Of what does not compress an archive is as large as its contents, which is not all
	// of its size.
	if got := saved(s); got.Reused != 5100 || got.Patched != 0 || got.Patches != 0 {
		t.Errorf("of two of four files it spares %+v", got)
	}
	w.has("d", old)
	w.want("d", new)
	w.run()
	req := ask(new, []int{0, 2}, old)
	s, err = w.Stream(t.Context(), req)
	must(t, err)
	etag, first := s.ETag, s.Saved
	w.read(req, s)
	if first.Reused != 5100 || first.Patches != 2 || first.Patched < 290_000 || first.Patched > 302_000 {
		t.Errorf("with patches it spares %+v", first)
	}
	again := w.Resume(t.Context(), req, etag)
	if again == nil {
		t.Fatal("it cannot be gone on with")
	}
	if got := saved(again); got != first {
		t.Errorf("who goes on is spared %+v, not %+v", got, first)
	}
}
