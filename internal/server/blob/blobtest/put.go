package blobtest

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

var putTests = map[string]func(t *testing.T, s blob.Store){
	"many":               putMany,
	"some exist already": putSomeExist,
	"is cancelled":       putCancelled,
	"beside a delete":    putAndDelete,
	"beside a sweep":     putAndSweep,
}

// several returns contents of sizes around those at which stores change their ways.
func several(seed byte) [][]byte {
	var contents [][]byte
	for i, size := range []int{0, 1, 255 << 10, 256<<10 + 1, 1<<20 + 70_000} {
		contents = append(contents, Bytes(seed+byte(i), size))
	}
	for i := range 20 {
		contents = append(contents, Bytes(seed+byte(i), 2_000+i))
	}
	return contents
}

func digestsOf(contents [][]byte) []james.Digest {
	var digests []james.Digest
	for _, content := range contents {
		digests = append(digests, james.DigestOf(content))
	}
	return digests
}

func putMany(t *testing.T, s blob.Store) {
	noError(t, s.Put(t.Context(), blob.Plain, nil))
	equal(t, len(Infos(t, s)), 0, "blobs listed")
	contents := several(1)
	given := make([][]byte, len(contents))
	for i := range contents {
		given[i] = bytes.Clone(contents[i])
	}
	given = append(given, given[2], given[6])
	before := time.Now().Truncate(time.Millisecond)
	noError(t, s.Put(t.Context(), blob.Plain, given))
	after := time.Now()
	for _, g := range given {
		clear(g) // they are the caller's again
	}
	for _, content := range contents {
		Check(t, s, content)
	}
	infos := Infos(t, s)
	equal(t, len(infos), len(contents), "blobs listed")
	for _, info := range infos {
		if info.Modified.Before(before) || info.Modified.After(after) {
			t.Errorf("modified at %v, want between %v and %v", info.Modified, before, after)
		}
	}
	missing, err := s.Missing(t.Context(), digestsOf(contents))
	noError(t, err)
	equal(t, len(missing), 0, "missing blobs")
}

func putSomeExist(t *testing.T, s blob.Store) {
	contents := several(1)
	first, second := Put(t, s, contents[3]), Put(t, s, contents[7])
	other := Put(t, s, Bytes(200, 100))
	tick()
	noError(t, s.Put(t.Context(), blob.Plain, contents))
	for _, old := range []blob.Info{first, second} {
		stat, err := s.Stat(t.Context(), old.Digest)
		noError(t, err)
		if !stat.Modified.After(old.Modified) {
			t.Error("one that was there is not renewed")
		}
	}
	stat, err := s.Stat(t.Context(), other.Digest)
	noError(t, err)
	equal(t, stat, other, "description of another one")
	for _, content := range contents {
		Check(t, s, content)
	}
	equal(t, len(Infos(t, s)), len(contents)+1, "blobs listed")
}

func putCancelled(t *testing.T, s blob.Store) {
	contents := several(1)
	Kind(t, s.Put(cancelled(), blob.Plain, contents), james.KindInterrupted)
	equal(t, len(Infos(t, s)), 0, "blobs listed")
}

// putAndDelete checks that a blob is there as a whole or not at all, however puts
// and deletes of it meet.
func putAndDelete(t *testing.T, s blob.Store) {
	contents := several(1)[2:9]
	for range 2 {
		together(4, func(i int) {
			var err error
			if i < 3 {
				err = s.Put(t.Context(), blob.Plain, contents[i:])
			} else {
				for _, d := range slices.Backward(digestsOf(contents)) {
					err = firstOf(err, s.Delete(t.Context(), d))
				}
			}
			if err != nil {
				t.Errorf("party %d: %v", i, err)
			}
		})
		for _, content := range contents {
			noError(t, readWhole(t, s, content))
		}
	}
}

// putAndSweep checks that what a put acknowledges stays, also when it meets a sweep
// of everything unfinished.
func putAndSweep(t *testing.T, s blob.Store) {
	for i := range 3 {
		contents := several(byte(50 * i))[3:9]
		var err error
		together(2, func(i int) {
			if i == 0 {
				err = s.Put(t.Context(), blob.Plain, contents)
			} else if err := s.Sweep(t.Context(), nextHour()); err != nil {
				t.Errorf("sweep: %v", err)
			}
		})
		if err != nil {
			Kind(t, err, james.KindInterrupted)
			for _, content := range contents {
				noError(t, readWhole(t, s, content))
			}
			continue
		}
		for _, content := range contents {
			Check(t, s, content)
		}
	}
}

// putTogether has two stores put contents at the same time, of which some are the
// same: there is one of each, and nothing else.
func putTogether(t *testing.T, p Place) {
	stores := []blob.Store{p.open(t), p.open(t)}
	contents := several(1)
	together(3, func(i int) {
		if err := stores[i%2].Put(t.Context(), blob.Plain, contents[i*2:]); err != nil {
			t.Errorf("party %d: %v", i, err)
		}
	})
	for _, content := range contents {
		Check(t, stores[1], content)
	}
	equal(t, len(Infos(t, stores[0])), len(contents), "blobs listed")
	p.clean(t)
	Kind(t, stores[0].Put(cancelled(), blob.Plain, several(100)), james.KindInterrupted)
	p.clean(t)
}
