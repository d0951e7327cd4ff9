package transfer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// installed is a file of a test that a patch may be against.
type installed struct {
	*bytes.Reader
	broken bool
	closed *int
}

func (i installed) Close() error { *i.closed--; return nil }

func (i installed) ReadAt(b []byte, off int64) (int, error) {
	if i.broken {
		return 0, errors.New("the disk does not answer")
	}
	return i.Reader.ReadAt(b, off)
}

func (i installed) Size() int64 { return i.Reader.Size() }

// changed returns content as another version has it.
func changed(content []byte) []byte {
	out := bytes.Clone(content)
	for at := 1000; at < len(out); at += 5000 {
		out[at]++
	}
	return append(out, "more"...)
}

// patches has the server send patches against the entries of old.
func patches(old *packet, spoil func([]byte) []byte) func(*stream.Writer, stream.Head, *james.Entry, *james.BlobsRequest) (bool, error) {
	return func(w *stream.Writer, h stream.Head, e *james.Entry, req *james.BlobsRequest) (bool, error) {
		if req.Packets[h.Packet].Whole.Has(h.Entry) || len(req.Have) == 0 {
			return false, nil
		}
		h.Base = &stream.Base{Have: 0, Entry: old.entry(e.Path)}
		base := old.content[old.manifest.Entries[h.Base.Entry].Digest]
		p, err := delta.Make(context.Background(), base, spoil(changed(base)), delta.Limits{})
		if err != nil {
			return false, err
		}
		return true, w.Patch(h, p.From(h.Offset))
	}
}

func TestPatches(t *testing.T) {
	t.Parallel()
	before := map[string][]byte{"a": noise(1, 500_000), "b": noise(2, 300_000), "c": noise(3, 1000)}
	after := make(map[string][]byte)
	for path, content := range before {
		after[path] = changed(content)
	}
	old, p := newPacket(t, "p", archive.FormatTar, before), newPacket(t, "p", archive.FormatTar, after)
	same := func(b []byte) []byte { return b }
	for _, row := range []struct {
		name  string
		spoil func([]byte) []byte // what the patch makes
		base  func(path james.Path, file installed) (installed, error)
		there int64         // bytes of the first file
		whole james.Indices // that are asked for again
	}{
		{name: "all of them"},
		{name: "the rest of one", there: 123_456},
		{name: "another content", spoil: func(b []byte) []byte { b[7] ^= 1; return b }, whole: james.IndicesOf(0, 1, 2)},
		{name: "a file that was edited", base: func(path james.Path, file installed) (installed, error) {
			if path == "b" {
				file.Reader = bytes.NewReader(noise(9, 300_000))
			}
			return file, nil
		}, whole: james.IndicesOf(1)},
		{name: "a file that was cut", base: func(path james.Path, file installed) (installed, error) {
			if path == "a" {
				file.Reader = bytes.NewReader(noise(1, 400_000))
			}
			return file, nil
		}, whole: james.IndicesOf(0)},
		{name: "a file that is gone", base: func(path james.Path, file installed) (installed, error) {
			if path == "a" {
				return file, james.Errorf(james.KindCorrupt, "a", "is gone")
			}
			return file, nil
		}, whole: james.IndicesOf(0)},
		{name: "a file that cannot be read", base: func(path james.Path, file installed) (installed, error) {
			file.broken = path == "c"
			return file, nil
		}, whole: james.IndicesOf(2)},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer = offers(1000)
			if row.spoil == nil {
				row.spoil = same
			}
			s.make = patches(old, row.spoil)
			if row.there > 0 {
				must(t, os.MkdirAll(d.dir+"/blobs", 0o700))
				must(t, os.WriteFile(d.blob(after["a"]), after["a"][:row.there], 0o600))
			}
			open := 0
			o := order(p.want())
			o.Have = []txn.Have{{App: old.App(), Manifest: old.manifest}}
			o.Base = func(have, entry int) (txn.BaseFile, error) {
				e := &old.manifest.Entries[entry]
				file := installed{Reader: bytes.NewReader(old.content[e.Digest]), closed: &open}
				if row.base != nil {
					var err error
					if file, err = row.base(e.Path, file); err != nil {
						return nil, err
					}
				}
				open++
				return file, nil
			}
			f := d.start(s)
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			if open != 0 {
				t.Errorf("%d files are still open", open)
			}
			var whole james.Indices
			if len(s.requests) == 2 {
				whole = s.requests[1].Packets[0].Whole
			}
			if whole.String() != row.whole.String() || len(s.requests) > 2 {
				t.Errorf("asked for %+v", s.requests)
			}
			if got := s.requests[0].Packets[0].Offset; got != row.there {
				t.Errorf("asked for the content from %d on", got)
			}
			if row.whole.IsZero() && s.served > 10_000 {
				t.Errorf("%d bytes were served", s.served)
			}
		})
	}
}

// TestPieces: a large patch comes in several pieces, some of which may be whole.
func TestPieces(t *testing.T) {
	t.Parallel()
	before := map[string][]byte{"a": noise(1, 3_000_000), "b": noise(2, 10)}
	p := newPacket(t, "p", archive.FormatTar, map[string][]byte{"a": changed(before["a"]), "b": noise(3, 10)})
	old := newPacket(t, "p", archive.FormatTar, before)
	for _, edited := range []bool{false, true} {
		t.Run(fmt.Sprint(edited), func(t *testing.T) {
			t.Parallel()
			s, d := newServer(p), newDevice(t)
			s.offer = offers(1000)
			s.make = func(w *stream.Writer, h stream.Head, e *james.Entry, req *james.BlobsRequest) (bool, error) {
				if e.Path != "a" || !req.Packets[0].Whole.IsZero() {
					return false, nil
				}
				content := p.content[e.Digest]
				patch, err := delta.Make(context.Background(), before["a"], content, delta.Limits{})
				if err != nil {
					return false, err
				}
				pieces := patch.Split(800)
				if len(pieces) < 3 {
					t.Errorf("there are %d pieces", len(pieces))
				}
				for n, piece := range pieces {
					h.Size = piece.Size()
					if h.Base = nil; n != 1 {
						h.Base = &stream.Base{Entry: old.entry("a")}
						err = w.Patch(h, piece)
					} else {
						err = w.Whole(h, bytes.NewReader(content[h.Offset:h.Offset+h.Size]))
					}
					if err != nil {
						return false, err
					}
					h.Offset += h.Size
				}
				return true, nil
			}
			o := order(p.want())
			o.Have = []txn.Have{{App: old.App(), Manifest: old.manifest}}
			o.Base = func(have, entry int) (txn.BaseFile, error) {
				base := slices.Clone(before["a"])
				if edited {
					base[0]++
				}
				return installed{Reader: bytes.NewReader(base), closed: new(int)}, nil
			}
			f := d.start(s)
			must(t, f.Fetch(t.Context(), o))
			d.check(f, []*packet{p}, o)
			if want := map[bool]int{false: 1, true: 2}[edited]; len(s.requests) != want {
				t.Errorf("there were %d streams", len(s.requests))
			}
		})
	}
}
