package blobtest

import (
	"bytes"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

var concurrentTests = map[string]func(t *testing.T, s blob.Store){
	"same content":       sameContent,
	"different content":  differentContent,
	"commit and delete":  commitAndDelete,
	"sweep and commit":   sweepAndCommit,
	"many small at once": manySmall,
}

// together calls f for 0 to n-1 at the same time, and returns when all are done.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

// commitTogether writes the contents one after the other and commits them all at
// the same time.
func commitTogether(t *testing.T, stores []blob.Store, contents [][]byte) {
	t.Helper()
	writers := make([]blob.Writer, len(contents))
	for i, content := range contents {
		writers[i] = Unfinished(t, stores[i%len(stores)], content)
	}
	together(len(writers), func(i int) {
		info, err := writers[i].Commit(t.Context(), james.DigestOf(contents[i]))
		if err != nil {
			t.Errorf("commit %d: %v", i, err)
			return
		}
		equal(t, info.Size, int64(len(contents[i])), "size")
	})
}

func sameContent(t *testing.T, s blob.Store) {
	content := Bytes(1, 300_000)
	commitTogether(t, []blob.Store{s}, [][]byte{content, content, content, content, content, content})
	equal(t, len(Infos(t, s)), 1, "blobs listed")
	Check(t, s, content)
	noError(t, s.Delete(t.Context(), james.DigestOf(content)))
	Absent(t, s, james.DigestOf(content))
}

func differentContent(t *testing.T, s blob.Store) {
	var contents [][]byte
	for i := range 6 {
		contents = append(contents, Bytes(byte(i), 300_000+i))
	}
	commitTogether(t, []blob.Store{s}, contents)
	equal(t, len(Infos(t, s)), len(contents), "blobs listed")
	for _, content := range contents {
		Check(t, s, content)
	}
}

func manySmall(t *testing.T, s blob.Store) {
	together(4, func(i int) {
		for j := range 5 {
			content := Bytes(byte(i*5+j), 1000)
			w, err := s.Create(t.Context(), blob.Plain)
			if err == nil {
				_, err = w.Write(content)
			}
			if err == nil {
				_, err = w.Commit(t.Context(), james.Digest{})
			}
			if err != nil {
				t.Errorf("writer %d, blob %d: %v", i, j, err)
			}
		}
	})
	equal(t, len(Infos(t, s)), 20, "blobs listed")
}

// commitAndDelete checks that a blob is there as a whole or not at all, however
// commits and deletes of it meet.
func commitAndDelete(t *testing.T, s blob.Store) {
	content := Bytes(2, 300_000)
	digest := james.DigestOf(content)
	for range 5 {
		Put(t, s, content)
		a, b := Unfinished(t, s, content), Unfinished(t, s, content)
		together(4, func(i int) {
			var err error
			switch i {
			case 0:
				_, err = a.Commit(t.Context(), digest)
			case 1:
				_, err = b.Commit(t.Context(), digest)
			case 2:
				err = s.Delete(t.Context(), digest)
			case 3:
				err = readWhole(t, s, content)
			}
			if err != nil {
				t.Errorf("party %d: %v", i, err)
			}
		})
		noError(t, readWhole(t, s, content))
	}
}

// Expiring checks that who is told that a blob is there, and now new, finds it, however
// that meets an Expire of what is old, also through another store on the same place.
// Run does not include it, as it needs a database with conditional deletions.
func Expiring(t *testing.T, a, b blob.Store) {
	content := Bytes(3, 1000)
	digest := james.DigestOf(content)
	kept, gone := 0, 0
	for i := range 200 {
		Put(t, a, content)
		tick()
		before := time.Now()
		tick()
		var missing []james.Digest
		together(2, func(party int) {
			var err error
			switch {
			case party == 0:
				_, err = b.Expire(t.Context(), digest, before)
			case i%2 == 0:
				missing, err = a.Renew(t.Context(), []james.Digest{digest})
			default:
				err = a.Put(t.Context(), blob.Compressed, [][]byte{content})
			}
			if err != nil {
				t.Errorf("party %d: %v", party, err)
			}
		})
		if len(missing) > 0 {
			gone++
			Absent(t, b, digest)
			continue
		}
		kept++
		Check(t, b, content)
	}
	t.Logf("it was kept %d times, and gone %d times", kept, gone)
}

// readWhole returns nil when the blob is absent, goes while it is read, or reads
// as content.
func readWhole(t *testing.T, s blob.Store, content []byte) error {
	r, err := s.Open(t.Context(), james.DigestOf(content))
	if err != nil {
		return absentIsFine(err)
	}
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, content) {
		t.Errorf("%d bytes of something else were read", len(got))
	}
	return absentIsFine(firstOf(err, r.Close()))
}

func absentIsFine(err error) error {
	if james.KindOf(err) == james.KindNotFound {
		return nil
	}
	return err
}

func firstOf(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// sweepAndCommit checks that what a commit acknowledges stays, also when it meets
// a sweep of everything unfinished.
func sweepAndCommit(t *testing.T, s blob.Store) {
	for i := range 5 {
		content := Bytes(byte(i), 300_000)
		w := Unfinished(t, s, content)
		var err error
		together(2, func(i int) {
			if i == 0 {
				_, err = w.Commit(t.Context(), james.Digest{})
			} else if err := s.Sweep(t.Context(), time.Now().Add(time.Hour)); err != nil {
				t.Errorf("sweep: %v", err)
			}
		})
		if err != nil {
			Kind(t, err, james.KindInterrupted)
			Absent(t, s, james.DigestOf(content))
		} else {
			Check(t, s, content)
		}
	}
}
