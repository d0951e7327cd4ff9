package blobtest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// smallAtRest checks that a compressed blob takes less where that can be, and
// otherwise not more.
func smallAtRest(t *testing.T, p Place) {
	s := p.open(t)
	random := make([]byte, 600_000)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	for _, row := range []struct {
		name    string
		form    blob.Form
		content []byte
		most    int
	}{
		{"plain", blob.Plain, Bytes(1, 600_000), 600_000},
		{"compressed", blob.Compressed, Bytes(2, 600_000), 500_000},
		{"compressed, small", blob.Compressed, Bytes(3, 2_000), 1_900},
		{"compressed, tiny", blob.Compressed, []byte("tiny"), 4},
		{"compressed, random", blob.Compressed, random, len(random)},
	} {
		w, err := s.Create(t.Context(), row.form)
		noError(t, err)
		_, err = w.Write(row.content)
		noError(t, err)
		info, err := w.Commit(t.Context(), james.DigestOf(row.content))
		noError(t, err)
		equal(t, info.Size, int64(len(row.content)), row.name+": size")
		stored := Infos(t, s)[info.Digest].Stored
		if stored > int64(row.most) || row.form == blob.Plain && stored != info.Size {
			t.Errorf("%s: %d bytes take %d", row.name, info.Size, stored)
		}
		Check(t, s, row.content)
	}
}

// bothForms commits one content in each form in turn: there is one of it.
func bothForms(t *testing.T, p Place) {
	a, b := inForm{p.open(t), blob.Plain}, inForm{p.open(t), blob.Compressed}
	content := Bytes(4, 700_000)
	for _, s := range []blob.Store{a, b, a} {
		info := Put(t, s, content)
		listed(t, s, info)
		equal(t, len(Infos(t, s)), 1, "blobs listed")
		Check(t, a, content)
		Check(t, b, content)
		p.clean(t)
	}
	for range 3 {
		commitTogether(t, []blob.Store{a, b}, [][]byte{content, content, content, content})
		Check(t, a, content)
		p.clean(t)
	}
	noError(t, a.Delete(t.Context(), james.DigestOf(content)))
	Absent(t, b, james.DigestOf(content))
	p.clean(t)
}

// damage changes the compressed form in many places: nothing of that may read as
// content.
func damage(t *testing.T, p Place) {
	s := inForm{p.open(t), blob.Compressed}
	content := append(make([]byte, 300_000), Bytes(5, 3_000)...) // two frames, which are small
	digest := Put(t, s, content).Digest
	var whole []byte
	p.Change(t, digest, func(stored []byte) []byte { whole = bytes.Clone(stored); return stored })
	if len(whole) >= len(content) {
		t.Fatal("it was not compressed, so this test shows nothing")
	}
	for at := 0; at < len(whole); at += stride(at, len(whole)) {
		flipped := bytes.Clone(whole)
		flipped[at] ^= 1 << (at % 8)
		p.damaged(t, s, content, flipped)
	}
	for _, size := range []int{1, 30, 60, len(whole) / 2, len(whole) - 1} {
		p.damaged(t, s, content, whole[:size])
	}
	p.damaged(t, s, content, slices.Concat(whole, []byte{0}))
	if _, there := Infos(t, s)[digest]; !there {
		t.Error("the damaged blob is not listed")
	}
	p.Change(t, digest, func([]byte) []byte { return whole })
	Check(t, s, content)
}

// stride leads from one place that is damaged to the next: every one near the
// ends, and some in between.
func stride(at, size int) int {
	if at < 60 || at > size-60 {
		return 1
	}
	return min(53, size-60-at+1)
}

// damaged checks that stored does not read as anything but a part of content that
// is right.
func (p Place) damaged(t *testing.T, s blob.Store, content, stored []byte) {
	t.Helper()
	digest := james.DigestOf(content)
	p.Change(t, digest, func([]byte) []byte { return stored })
	r, err := s.Open(t.Context(), digest)
	var got []byte
	if err == nil {
		got, err = io.ReadAll(r)
		if kept, failed, ok := frames(r); ok && (james.KindOf(failed) != james.KindCorrupt || !bytes.HasPrefix(content, kept)) {
			t.Errorf("the frames have %d bytes: %v", len(kept), failed)
		}
		closeReader(t, r)
	}
	Kind(t, err, james.KindCorrupt)
	if !bytes.HasPrefix(content, got) {
		t.Error("something else was read")
	}
}
