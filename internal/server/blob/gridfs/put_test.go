package gridfs_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/pkg/james"
)

// contents returns n contents of 1 KB and more, and their digests.
func contents(n int) (all [][]byte, digests []james.Digest) {
	for i := range n {
		content := blobtest.Bytes(byte(i), 1_000+i)
		all, digests = append(all, content), append(digests, james.DigestOf(content))
	}
	return all, digests
}

// TestPutTakesFewCalls counts what is asked of the server for many contents.
func TestPutTakesFewCalls(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	all, _ := contents(500)
	for _, row := range []struct {
		name string
		most int
	}{
		{"new", 4},
		{"there already", 2},
	} {
		before := o.asked.Load()
		if err := o.far.Put(t.Context(), blob.Compressed, all); err != nil {
			t.Fatal(err)
		}
		if n := int(o.asked.Load() - before); n == 0 || n > row.most {
			t.Errorf("%s: %d calls, want %d", row.name, n, row.most)
		}
	}
	blobtest.Check(t, o.near, all[0])
	blobtest.Check(t, o.near, all[499])
}

// TestPutMeetsSweep has a sweep come and go between the chunks and the documents.
func TestPutMeetsSweep(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	all, digests := contents(5)
	met := false
	o.onAnswer(insert("chunks"), func() bool {
		met = o.near.Sweep(t.Context(), o.nextHour) == nil
		return true
	})
	blobtest.Kind(t, o.far.Put(t.Context(), blob.Plain, all), james.KindInterrupted)
	if !met {
		t.Fatal("there was no sweep")
	}
	for _, d := range digests {
		blobtest.Absent(t, o.near, d)
	}
	if n := residue(t, database(t, o.uri)); n != 0 {
		t.Errorf("%d documents left behind", n)
	}
	if err := o.far.Put(t.Context(), blob.Plain, all); err != nil {
		t.Error(err)
	}
}

// TestPutBesideOthers has others commit and delete some of the contents after they
// were found missing.
func TestPutBesideOthers(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	all, digests := contents(6)
	o.onAnswer(insert("chunks"), func() bool {
		blobtest.Put(t, o.near, all[1])
		blobtest.Put(t, o.near, all[4])
		o.onAnswer(insert("files"), func() bool {
			if err := o.near.Delete(t.Context(), digests[4]); err != nil {
				t.Error(err)
			}
			return true
		})
		return true
	})
	if err := o.far.Put(t.Context(), blob.Compressed, all); err != nil {
		t.Fatal(err)
	}
	for _, content := range all {
		blobtest.Check(t, o.near, content)
	}
	if n := residue(t, database(t, o.uri)); n != 0 {
		t.Errorf("%d documents left behind", n)
	}
}

// TestServerGoesWhilePutting loses the answer to each of the calls in turn.
func TestServerGoesWhilePutting(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		calls []string // before the answer is lost, and the one whose answer it is
		there bool
	}{
		{"to the chunks", []string{"chunks"}, false},
		{"to the documents", []string{"files"}, true},
		{"to the question after them", []string{"files", "chunks"}, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			all, digests := contents(3)
			var lose func(calls []string)
			lose = func(calls []string) {
				o.onAnswer(insert(calls[0]), func() bool {
					if len(calls) > 1 {
						lose(calls[1:])
						return true
					}
					o.shut()
					return false
				})
			}
			lose(row.calls)
			blobtest.Kind(t, o.far.Put(t.Context(), blob.Plain, all), james.KindUnavailable)
			o.cut()
			o.connect()
			if err := o.near.Sweep(t.Context(), o.nextHour); err != nil {
				t.Fatal(err)
			}
			for i, content := range all {
				if row.there {
					blobtest.Check(t, o.near, content)
				} else {
					blobtest.Absent(t, o.near, digests[i])
				}
			}
			if n := residue(t, database(t, o.uri)); n != 0 {
				t.Errorf("%d documents left behind", n)
			}
		})
	}
}
