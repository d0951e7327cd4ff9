package blobtest

import (
	"context"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

var writeTests = map[string]func(t *testing.T, s blob.Store){
	"commit":                  commit,
	"commit of any digest":    commitAny,
	"empty blob":              emptyBlob,
	"nothing before commit":   nothingBeforeCommit,
	"wrong digest":            wrongDigest,
	"exists already":          existsAlready,
	"abort":                   abort,
	"abort after commit":      abortAfterCommit,
	"use after the end":       useAfterEnd,
	"create is cancelled":     createCancelled,
	"write is cancelled":      writeCancelled,
	"commit is cancelled":     commitCancelled,
	"caller reuses its bytes": callerReusesBytes,
}

func commit(t *testing.T, s blob.Store) {
	content := Bytes(1, 700_001)
	before := time.Now().Truncate(time.Millisecond)
	info := Put(t, s, content)
	after := time.Now()

	equal(t, info.Digest, james.DigestOf(content), "digest")
	equal(t, info.Size, int64(len(content)), "size")
	if info.Modified.Before(before) || info.Modified.After(after) {
		t.Errorf("modified at %v, want between %v and %v", info.Modified, before, after)
	}
	stat, err := s.Stat(t.Context(), info.Digest)
	noError(t, err)
	equal(t, stat, info, "description")
	listed(t, s, info)
	Check(t, s, content)
}

func commitAny(t *testing.T, s blob.Store) {
	content := Bytes(2, 100)
	info, err := Unfinished(t, s, content).Commit(t.Context(), james.Digest{})
	noError(t, err)
	equal(t, info.Digest, james.DigestOf(content), "digest")
	Check(t, s, content)
}

func emptyBlob(t *testing.T, s blob.Store) {
	equal(t, Put(t, s, nil).Size, 0, "size")
	Check(t, s, nil)
	equal(t, len(Infos(t, s)), 1, "blobs listed")
	noError(t, s.Sweep(t.Context(), time.Now().Add(time.Hour)))
	Check(t, s, nil)
}

func nothingBeforeCommit(t *testing.T, s blob.Store) {
	content := Bytes(3, 1_500_000)
	w := Unfinished(t, s, content)
	Absent(t, s, james.DigestOf(content))
	Absent(t, s, james.DigestOf(nil))
	equal(t, len(Infos(t, s)), 0, "blobs listed before the commit")
	_, err := w.Commit(t.Context(), james.DigestOf(content))
	noError(t, err)
	Check(t, s, content)
}

func wrongDigest(t *testing.T, s blob.Store) {
	content, other := Bytes(4, 300_000), james.DigestOf([]byte("other"))
	w := Unfinished(t, s, content)
	_, err := w.Commit(t.Context(), other)
	Kind(t, err, james.KindCorrupt)
	Absent(t, s, other)
	Absent(t, s, james.DigestOf(content))
	_, err = w.Commit(t.Context(), james.DigestOf(content))
	Kind(t, err, james.KindInternal)
	Absent(t, s, james.DigestOf(content))
}

func existsAlready(t *testing.T, s blob.Store) {
	content := Bytes(5, 300_000)
	first := Put(t, s, content)
	r := open(t, s, first.Digest)
	tick()
	second := Put(t, s, content)

	if !second.Modified.After(first.Modified) {
		t.Errorf("modified at %v after the second commit, %v after the first", second.Modified, first.Modified)
	}
	second.Modified = first.Modified
	equal(t, second, first, "description")
	stat, err := s.Stat(t.Context(), first.Digest)
	noError(t, err)
	if !stat.Modified.After(first.Modified) {
		t.Errorf("the second commit is answered as renewed, but the store has %v", stat.Modified)
	}
	equal(t, len(Infos(t, s)), 1, "blobs listed")
	Check(t, s, content)
	checkRest(t, r, content)
}

func abort(t *testing.T, s blob.Store) {
	content := Bytes(6, 300_000)
	w := Unfinished(t, s, content)
	noError(t, w.Abort())
	noError(t, w.Abort())
	Absent(t, s, james.DigestOf(content))
}

func abortAfterCommit(t *testing.T, s blob.Store) {
	content := Bytes(7, 300_000)
	for range 2 { // the second commit meets the first one's blob
		w := Unfinished(t, s, content)
		_, err := w.Commit(t.Context(), james.Digest{})
		noError(t, err)
		noError(t, w.Abort())
		Check(t, s, content)
	}
}

func useAfterEnd(t *testing.T, s blob.Store) {
	content := Bytes(8, 10)
	for name, end := range map[string]func(w blob.Writer) error{
		"commit": func(w blob.Writer) error { _, err := w.Commit(t.Context(), james.Digest{}); return err },
		"abort":  blob.Writer.Abort,
	} {
		w := Unfinished(t, s, content)
		noError(t, end(w))
		_, err := w.Write(content)
		if err == nil {
			t.Errorf("write succeeded after %s", name)
		}
		_, err = w.Commit(t.Context(), james.Digest{})
		Kind(t, err, james.KindInternal)
	}
}

func createCancelled(t *testing.T, s blob.Store) {
	w, err := s.Create(cancelled(), blob.Plain)
	if err == nil { // a store may notice as late as this
		_, err = w.Write(Bytes(9, 2<<20))
	}
	Kind(t, err, james.KindInterrupted)
}

func writeCancelled(t *testing.T, s blob.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	w, err := s.Create(ctx, blob.Plain)
	noError(t, err)
	content := Bytes(10, 2<<20)
	_, err = w.Write(content[:1<<20])
	noError(t, err)
	cancel()
	_, err = w.Write(content[1<<20:])
	Kind(t, err, james.KindInterrupted)
	_, err = w.Commit(t.Context(), james.Digest{})
	Kind(t, err, james.KindInternal)
	noError(t, w.Abort())
	equal(t, len(Infos(t, s)), 0, "blobs listed")
}

func commitCancelled(t *testing.T, s blob.Store) {
	content := Bytes(11, 300_000)
	w := Unfinished(t, s, content)
	_, err := w.Commit(cancelled(), james.Digest{})
	Kind(t, err, james.KindInterrupted)
	Absent(t, s, james.DigestOf(content))
	noError(t, w.Abort())
}

func callerReusesBytes(t *testing.T, s blob.Store) {
	content := Bytes(12, 900_000)
	w, err := s.Create(t.Context(), blob.Plain)
	noError(t, err)
	buf := make([]byte, 7_000)
	for rest := content; len(rest) > 0; {
		n := copy(buf, rest)
		_, err := w.Write(buf[:n])
		noError(t, err)
		clear(buf)
		rest = rest[n:]
	}
	_, err = w.Commit(t.Context(), james.DigestOf(content))
	noError(t, err)
	Check(t, s, content)
}
