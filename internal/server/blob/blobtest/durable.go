package blobtest

import (
	"io"
	"runtime"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// Place is where a store keeps its blobs when nobody has it open.
type Place struct {
	// Open opens the store; several may be open at a time, as if each were in a
	// process of its own.
	Open func(t *testing.T) blob.Store
	// Residue counts what there is in the place beside the blobs that are listed.
	Residue func(t *testing.T) int
	// Change puts what change makes of the bytes that are stored of a blob, which
	// are few, in their place.
	Change func(t *testing.T, digest james.Digest, change func(stored []byte) []byte)
}

// RunDurable checks what the contract says of restarts, of several processes,
// of what is left behind, and of memory, each in a new, empty place. As memory is
// measured for the whole process, it must be called from a test that does not
// run in parallel to others.
func RunDurable(t *testing.T, newPlace func(t *testing.T) Place) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			runDurable(t, func(t *testing.T) Place {
				p := newPlace(t)
				open := p.Open
				p.Open = func(t *testing.T) blob.Store { return inForm{open(t), form} }
				return p
			})
		})
	}
	t.Run("small at rest", func(t *testing.T) { smallAtRest(t, newPlace(t)) })
	t.Run("one of both forms", func(t *testing.T) { bothForms(t, newPlace(t)) })
	t.Run("damage", func(t *testing.T) { damage(t, newPlace(t)) })
}

func runDurable(t *testing.T, newPlace func(t *testing.T) Place) {
	for name, test := range map[string]func(t *testing.T, p Place){
		"reopen":            reopen,
		"two stores":        twoStores,
		"two stores commit": twoStoresCommit,
		"two stores put":    putTogether,
		"crash":             crash,
		"no residue":        noResidue,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newPlace(t))
		})
	}
	t.Run("large blob", func(t *testing.T) { large(t, newPlace(t)) }) // while the others wait
}

func (p Place) open(t *testing.T) blob.Store {
	s := p.Open(t)
	t.Cleanup(func() { noError(t, s.Close()) })
	return s
}

func (p Place) clean(t *testing.T) {
	t.Helper()
	equal(t, p.Residue(t), 0, "things left behind")
}

func reopen(t *testing.T, p Place) {
	content := Bytes(1, 700_000)
	s := p.Open(t)
	info := Put(t, s, content)
	noError(t, s.Close())

	s = p.open(t)
	Check(t, s, content)
	listed(t, s, info)
	p.clean(t)
}

func twoStores(t *testing.T, p Place) {
	a, b := p.open(t), p.open(t)
	content := Bytes(2, 700_000)
	w := Unfinished(t, a, content)
	Absent(t, b, james.DigestOf(content))
	_, err := w.Commit(t.Context(), james.Digest{})
	noError(t, err)
	Check(t, b, content)
	first, err := a.Stat(t.Context(), james.DigestOf(content))
	noError(t, err)
	tick()
	Put(t, b, content)
	second, err := a.Stat(t.Context(), first.Digest)
	noError(t, err)
	if !second.Modified.After(first.Modified) {
		t.Error("a commit of the other store renews nothing here")
	}
	noError(t, b.Delete(t.Context(), first.Digest))
	Absent(t, a, first.Digest)
	p.clean(t)
}

func twoStoresCommit(t *testing.T, p Place) {
	stores := []blob.Store{p.open(t), p.open(t)}
	content := Bytes(3, 700_000)
	for range 3 {
		commitTogether(t, stores, [][]byte{content, content, content, content})
		for _, s := range stores {
			equal(t, len(Infos(t, s)), 1, "blobs listed")
			Check(t, s, content)
		}
		noError(t, stores[0].Sweep(t.Context(), nextHour()))
		Check(t, stores[1], content)
		p.clean(t)
		noError(t, stores[1].Delete(t.Context(), james.DigestOf(content)))
		p.clean(t)
	}
}

// crash leaves a writer as a process does that dies in the middle.
func crash(t *testing.T, p Place) {
	content := Bytes(4, 1_600_000)
	dead := p.open(t)
	Unfinished(t, dead, content)
	if p.Residue(t) == 0 {
		t.Fatal("the writer has not stored anything yet, so this test shows nothing")
	}

	s := p.open(t)
	Absent(t, s, james.DigestOf(content))
	noError(t, s.Sweep(t.Context(), time.Now().Add(-time.Hour)))
	if p.Residue(t) == 0 {
		t.Error("sweep has removed what is not old enough")
	}
	noError(t, s.Sweep(t.Context(), nextHour()))
	p.clean(t)
	Absent(t, s, james.DigestOf(content))
}

func noResidue(t *testing.T, p Place) {
	s := p.open(t)
	content := Bytes(5, 1_600_000)
	for _, row := range []struct {
		name string
		do   func()
	}{
		{"nothing", func() {}},
		{"abort", func() { noError(t, Unfinished(t, s, content).Abort()) }},
		{"wrong digest", func() {
			_, err := Unfinished(t, s, content).Commit(t.Context(), james.DigestOf(nil))
			Kind(t, err, james.KindCorrupt)
		}},
		{"cancelled commit", func() {
			_, err := Unfinished(t, s, content).Commit(cancelled(), james.Digest{})
			Kind(t, err, james.KindInterrupted)
		}},
		{"commit", func() { Put(t, s, content) }},
		{"commit of what exists", func() { Put(t, s, content) }},
		{"delete", func() { noError(t, s.Delete(t.Context(), james.DigestOf(content))) }},
		{"going on after a sweep", func() {
			w := Unfinished(t, s, content)
			noError(t, s.Sweep(t.Context(), nextHour()))
			_, _ = w.Write(content) // may notice
			_, err := w.Commit(t.Context(), james.Digest{})
			if err == nil {
				t.Error("a swept writer has committed")
			}
			Absent(t, s, james.DigestOf(content))
		}},
	} {
		row.do()
		if n := p.Residue(t); n != 0 {
			t.Errorf("%s: %d things left behind", row.name, n)
		}
	}
}

// The large blob is many times larger than what a store may hold of it.
const (
	largeSize   = 16 << 20
	largeMemory = 6 << 20
)

// large writes and reads a blob while it watches the live heap.
func large(t *testing.T, p Place) {
	s := p.open(t)
	base := liveHeap()
	w, err := s.Create(t.Context(), blob.Plain)
	noError(t, err)
	random := source(6)
	heapWhile(t, base, "writing", func(step int64) error {
		_, err := io.CopyN(w, random, step)
		return err
	})
	info, err := w.Commit(t.Context(), james.Digest{})
	noError(t, err)
	equal(t, info.Size, largeSize, "size")

	sum, r := blob.NewSum(), open(t, s, info.Digest)
	defer closeReader(t, r)
	heapWhile(t, base, "reading", func(step int64) error {
		_, err := io.CopyN(adder{sum}, r, step)
		return err
	})
	_, err = sum.Info(info.Digest)
	noError(t, err)
}

// heapWhile calls move until the large blob has passed, and looks at the heap in
// between.
func heapWhile(t *testing.T, base int64, what string, move func(step int64) error) {
	t.Helper()
	const step = largeSize / 8
	for done := int64(0); done < largeSize; done += step {
		noError(t, move(step))
		if used := liveHeap() - base; used > largeMemory {
			t.Errorf("%s: %d KiB are live after %d MiB, want less than %d", what, used>>10, (done+step)>>20, largeMemory>>10)
		}
	}
}

func liveHeap() int64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.HeapAlloc)
}

type adder struct{ sum *blob.Sum }

func (a adder) Write(p []byte) (int, error) {
	a.sum.Add(p)
	return len(p), nil
}
