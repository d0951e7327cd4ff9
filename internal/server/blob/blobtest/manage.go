package blobtest

import (
	"slices"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

var manageTests = map[string]func(t *testing.T, s blob.Store){
	"delete":             deleteBlob,
	"delete and recover": deleteAndPutAgain,
	"expire":             expire,
	"list":               list,
	"missing":            missing,
	"renew":              renew,
	"sweep":              sweep,
	"ping":               ping,
	"cancelled":          manageCancelled,
}

func nextHour() time.Time { return time.Now().Add(time.Hour) }

func deleteBlob(t *testing.T, s blob.Store) {
	content, other := Bytes(1, 600_000), Bytes(2, 600_000)
	digest := Put(t, s, content).Digest
	Put(t, s, other)
	noError(t, s.Delete(t.Context(), digest))
	Absent(t, s, digest)
	noError(t, s.Delete(t.Context(), digest))
	noError(t, s.Delete(t.Context(), james.DigestOf([]byte("never there"))))
	noError(t, s.Delete(t.Context(), james.Digest{}))
	Check(t, s, other)
}

func deleteAndPutAgain(t *testing.T, s blob.Store) {
	content := Bytes(3, 600_000)
	for range 3 {
		noError(t, s.Delete(t.Context(), Put(t, s, content).Digest))
	}
	Put(t, s, content)
	Check(t, s, content)
}

func expire(t *testing.T, s blob.Store) {
	content, other := Bytes(1, 600_000), Bytes(2, 100)
	info := Put(t, s, content)
	Put(t, s, other)
	for _, row := range []struct {
		name   string
		digest james.Digest
		before time.Time
		want   bool
	}{
		{"of that very time", info.Digest, info.Modified, false},
		{"never there", james.DigestOf([]byte("never there")), nextHour(), false},
		{"no digest", james.Digest{}, nextHour(), false},
		{"older", info.Digest, info.Modified.Add(time.Millisecond), true},
		{"gone", info.Digest, nextHour(), false},
	} {
		expired, err := s.Expire(t.Context(), row.digest, row.before)
		noError(t, err)
		equal(t, expired, row.want, row.name)
	}
	Absent(t, s, info.Digest)
	Check(t, s, other)

	Put(t, s, content)
	tick()
	between := time.Now()
	tick()
	missing, err := s.Renew(t.Context(), []james.Digest{info.Digest})
	noError(t, err)
	equal(t, len(missing), 0, "missing blobs")
	expired, err := s.Expire(t.Context(), info.Digest, between)
	noError(t, err)
	equal(t, expired, false, "renewed")
	Put(t, s, other)
	expired, err = s.Expire(t.Context(), james.DigestOf(other), between)
	noError(t, err)
	equal(t, expired, false, "committed again")
	Check(t, s, content)
	Check(t, s, other)
}

func list(t *testing.T, s blob.Store) {
	equal(t, len(Infos(t, s)), 0, "blobs listed in an empty store")
	want := make(map[james.Digest]blob.Info)
	for i := range 20 {
		info := Put(t, s, Bytes(byte(i), i*1000))
		want[info.Digest] = info
	}
	got := Infos(t, s)
	equal(t, len(got), len(want), "blobs listed")
	for digest, info := range want {
		equal(t, got[digest].Modified, info.Modified, "listed time")
	}

	n := 0
	for _, err := range s.List(t.Context()) {
		noError(t, err)
		if n++; n == 3 {
			break
		}
	}
	for info, err := range s.List(t.Context()) { // as collecting does it
		noError(t, err)
		noError(t, s.Delete(t.Context(), info.Digest))
	}
	equal(t, len(Infos(t, s)), 0, "blobs listed after all were deleted")
}

func missing(t *testing.T, s blob.Store) {
	there := Put(t, s, Bytes(1, 300_000))
	absent, zero := james.DigestOf([]byte("not there")), james.Digest{}
	tick()
	missing, err := s.Missing(t.Context(), []james.Digest{absent, there.Digest, zero, there.Digest})
	noError(t, err)
	if len(missing) != 2 || !slices.Contains(missing, absent) || !slices.Contains(missing, zero) {
		t.Errorf("missing are %v", missing)
	}
	stat, err := s.Stat(t.Context(), there.Digest)
	noError(t, err)
	equal(t, stat, there, "description of one that was asked for")
	missing, err = s.Missing(t.Context(), nil)
	noError(t, err)
	equal(t, len(missing), 0, "missing of none")
}

func renew(t *testing.T, s blob.Store) {
	first, second := Put(t, s, Bytes(1, 300_000)), Put(t, s, Bytes(2, 100))
	absent, zero := james.DigestOf([]byte("not there")), james.Digest{}
	tick()
	missing, err := s.Renew(t.Context(), []james.Digest{first.Digest, absent, zero, first.Digest})
	noError(t, err)
	equal(t, len(missing), 2, "missing blobs")
	if !slices.Contains(missing, absent) || !slices.Contains(missing, zero) {
		t.Errorf("missing are %v", missing)
	}
	stat, err := s.Stat(t.Context(), first.Digest)
	noError(t, err)
	if !stat.Modified.After(first.Modified) {
		t.Error("the time is as it was")
	}
	listed(t, s, stat)
	stat, err = s.Stat(t.Context(), second.Digest)
	noError(t, err)
	equal(t, stat, second, "description of one that was not renewed")
	Check(t, s, Bytes(1, 300_000))
	missing, err = s.Renew(t.Context(), nil)
	noError(t, err)
	equal(t, len(missing), 0, "missing of none")
}

func sweep(t *testing.T, s blob.Store) {
	kept, running, abandoned := Bytes(4, 600_000), Bytes(5, 600_000), Bytes(6, 1_600_000)
	Put(t, s, kept)
	w := Unfinished(t, s, running)
	noError(t, s.Sweep(t.Context(), time.Now().Add(-time.Hour)))
	_, err := w.Write(nil)
	noError(t, err)
	_, err = w.Commit(t.Context(), james.DigestOf(running))
	noError(t, err)

	w = Unfinished(t, s, abandoned)
	noError(t, s.Sweep(t.Context(), nextHour()))
	_, err = w.Commit(t.Context(), james.DigestOf(abandoned))
	Kind(t, err, james.KindInterrupted)
	noError(t, w.Abort())
	Absent(t, s, james.DigestOf(abandoned))

	noError(t, s.Sweep(t.Context(), nextHour()))
	Check(t, s, kept)
	Check(t, s, running)
}

func ping(t *testing.T, s blob.Store) {
	noError(t, s.Ping(t.Context()))
	Put(t, s, Bytes(7, 100))
	noError(t, s.Ping(t.Context()))
}

func manageCancelled(t *testing.T, s blob.Store) {
	content := Bytes(8, 100)
	digest := Put(t, s, content).Digest
	Kind(t, s.Delete(cancelled(), digest), james.KindInterrupted)
	Kind(t, s.Sweep(cancelled(), nextHour()), james.KindInterrupted)
	_, err := s.Expire(cancelled(), digest, nextHour())
	Kind(t, err, james.KindInterrupted)
	Kind(t, s.Ping(cancelled()), james.KindInterrupted)
	_, err = s.Renew(cancelled(), []james.Digest{digest})
	Kind(t, err, james.KindInterrupted)
	_, err = s.Missing(cancelled(), []james.Digest{digest})
	Kind(t, err, james.KindInterrupted)
	n := 0
	for info, err := range s.List(cancelled()) {
		n++
		Kind(t, err, james.KindInterrupted)
		equal(t, info, blob.Listed{}, "description beside an error")
	}
	equal(t, n, 1, "turns of a cancelled list")
	Check(t, s, content)
}
