package blobtest

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

var readTests = map[string]func(t *testing.T, s blob.Store){
	"not there":           notThere,
	"as io has it":        asIO,
	"ranges":              ranges,
	"seek":                seek,
	"two readers":         twoReaders,
	"use after close":     useAfterClose,
	"open is cancelled":   openCancelled,
	"read is cancelled":   readCancelled,
	"delete while read":   deleteWhileRead,
	"replaced while read": replacedWhileRead,
}

func notThere(t *testing.T, s blob.Store) {
	Put(t, s, Bytes(1, 10))
	Absent(t, s, james.DigestOf([]byte("not there")))
	Absent(t, s, james.Digest{})
}

func asIO(t *testing.T, s blob.Store) {
	content := Bytes(2, 600_007)
	r := open(t, s, Put(t, s, content).Digest)
	defer closeReader(t, r)
	noError(t, iotest.TestReader(r, content))
}

func ranges(t *testing.T, s blob.Store) {
	content := Bytes(3, 1<<20+17)
	size := int64(len(content))
	r := open(t, s, Put(t, s, content).Digest)
	defer closeReader(t, r)

	random := rand.New(rand.NewPCG(1, 2))
	offsets := []int64{0, 1, 255<<10 - 1, 255 << 10, 255<<10 + 1, 2*255<<10 - 1, size - 1, size, size + 1, 0}
	for range 30 {
		offsets = append(offsets, random.Int64N(size))
	}
	for _, offset := range offsets {
		pos, err := r.Seek(offset, io.SeekStart)
		noError(t, err)
		equal(t, pos, offset, "position")
		want := content[min(offset, size):min(offset+random.Int64N(600_000)+1, size)]
		got, err := io.ReadAll(io.LimitReader(r, int64(len(want))))
		noError(t, err)
		if !bytes.Equal(got, want) {
			t.Errorf("%d bytes from %d on are wrong", len(want), offset)
		}
	}
}

func seek(t *testing.T, s blob.Store) {
	content := Bytes(4, 600_000)
	r := open(t, s, Put(t, s, content).Digest)
	defer closeReader(t, r)
	for _, row := range []struct {
		name   string
		offset int64
		whence int
		want   int64 // -1 for an error, which leaves the position as it is
	}{
		{"to the end, for the size", 0, io.SeekEnd, 600_000},
		{"past the end", 10, io.SeekCurrent, 600_010},
		{"back by more than there is", -600_011, io.SeekCurrent, -1},
		{"back", -300_010, io.SeekCurrent, 300_000},
		{"before the start", -1, io.SeekStart, -1},
		{"from the end", -5, io.SeekEnd, 599_995},
		{"before the start, from the end", -600_001, io.SeekEnd, -1},
		{"whence unknown", 0, 3, -1},
		{"where it is", 0, io.SeekCurrent, 599_995},
	} {
		pos, err := r.Seek(row.offset, row.whence)
		if row.want < 0 && err == nil {
			t.Errorf("%s: moved to %d, want an error", row.name, pos)
		}
		if row.want >= 0 {
			noError(t, err)
			equal(t, pos, row.want, row.name)
		}
	}
	got, err := io.ReadAll(r)
	noError(t, err)
	equal(t, string(got), string(content[599_995:]), "the last bytes")
}

func twoReaders(t *testing.T, s blob.Store) {
	content := Bytes(5, 600_000)
	digest := Put(t, s, content).Digest
	a, b := open(t, s, digest), open(t, s, digest)
	_, err := a.Seek(300_000, io.SeekStart)
	noError(t, err)
	checkRest(t, b, content)
	checkRest(t, a, content[300_000:])
}

func useAfterClose(t *testing.T, s blob.Store) {
	r := open(t, s, Put(t, s, Bytes(6, 100)).Digest)
	closeReader(t, r)
	closeReader(t, r)
	if n, err := r.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("read after close: %d bytes, error %v", n, err)
	}
	if _, err := r.Seek(0, io.SeekStart); err == nil {
		t.Error("seek succeeded after close")
	}
}

func openCancelled(t *testing.T, s blob.Store) {
	digest := Put(t, s, Bytes(7, 100)).Digest
	_, err := s.Open(cancelled(), digest)
	Kind(t, err, james.KindInterrupted)
	_, err = s.Stat(cancelled(), digest)
	Kind(t, err, james.KindInterrupted)
}

func readCancelled(t *testing.T, s blob.Store) {
	digest := Put(t, s, Bytes(8, 2<<20)).Digest
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.Open(ctx, digest)
	noError(t, err)
	defer closeReader(t, r)
	_, err = io.CopyN(io.Discard, r, 1<<20)
	noError(t, err)
	cancel()
	_, err = io.Copy(io.Discard, r)
	Kind(t, err, james.KindInterrupted)
}

func deleteWhileRead(t *testing.T, s blob.Store) {
	content := Bytes(9, 2<<20+3)
	digest := Put(t, s, content).Digest
	r := open(t, s, digest)
	defer closeReader(t, r)
	half := readHalf(t, r, content)
	noError(t, s.Delete(t.Context(), digest))
	noError(t, s.Sweep(t.Context(), nextHour()))
	checkRestOrGone(t, r, content[half:])
}

func replacedWhileRead(t *testing.T, s blob.Store) {
	content := Bytes(10, 2<<20+3)
	digest := Put(t, s, content).Digest
	r := open(t, s, digest)
	defer closeReader(t, r)
	half := readHalf(t, r, content)
	noError(t, s.Delete(t.Context(), digest))
	Put(t, s, content)
	Put(t, s, content)
	checkRestOrGone(t, r, content[half:])
	Check(t, s, content)
}

func readHalf(t *testing.T, r io.Reader, content []byte) int {
	t.Helper()
	got := make([]byte, len(content)/2)
	_, err := io.ReadFull(r, got)
	noError(t, err)
	if !bytes.Equal(got, content[:len(got)]) {
		t.Fatal("the first half is wrong")
	}
	return len(got)
}

// checkRestOrGone checks that what is left to read is want, or begins like it and
// then fails because the blob is gone.
func checkRestOrGone(t *testing.T, r io.Reader, want []byte) {
	t.Helper()
	got, err := io.ReadAll(r)
	if !bytes.HasPrefix(want, got) {
		t.Errorf("a deleted blob reads as something else")
	}
	if err != nil {
		Kind(t, err, james.KindNotFound)
	} else {
		equal(t, len(got), len(want), "bytes read to the end without an error")
	}
}

// checkRest checks that want is left to read, and closes r.
func checkRest(t *testing.T, r io.ReadCloser, want []byte) {
	t.Helper()
	got, err := io.ReadAll(r)
	noError(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("the %d bytes to the end are not the %d that were expected", len(got), len(want))
	}
	closeReader(t, r)
}
