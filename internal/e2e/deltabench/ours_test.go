package deltabench_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// measureOurs makes the stream that a device with the old version is sent, in both
// codecs as a server does for a device that takes either, and applies the smaller one.
func measureOurs(b *testing.B, p *pair) result {
	b.Helper()
	var best []byte
	var r result
	r.make = ownTime(b, func() {
		patches := make([]*delta.Patch, len(p.changes))
		for i, c := range p.changes {
			if c.old >= 0 {
				patches[i] = p.worthwhile(b, c)
			}
		}
		for _, codec := range []stream.Codec{stream.Zstd, stream.XZ} {
			if s := p.stream(b, codec, patches); best == nil || len(s) < len(best) {
				best, r.note = s, codec.String()
			}
		}
	})
	r.bytes = int64(len(best))
	r.apply = ownTime(b, func() { p.apply(b, best) })
	return r
}

// worthwhile returns the patch for c, or nil where it saves less than a fifth.
func (p *pair) worthwhile(b *testing.B, c change) *delta.Patch {
	b.Helper()
	patch, content := p.patch(b, c), p.new.read(b, c.new)
	head := stream.Head{Size: patch.Size()}
	whole := streamOf(b, stream.Options{Codec: stream.Zstd}, func(w *stream.Writer) error {
		return w.Whole(head, bytes.NewReader(content))
	})
	head.Base = &stream.Base{}
	patched := streamOf(b, stream.Options{Codec: stream.Zstd}, func(w *stream.Writer) error { return w.Patch(head, patch) })
	if 5*len(patched) > 4*len(whole) {
		return nil
	}
	return patch
}

func (p *pair) stream(b *testing.B, codec stream.Codec, patches []*delta.Patch) []byte {
	b.Helper()
	return streamOf(b, stream.Options{Codec: codec, Level: stream.Best}, func(w *stream.Writer) error {
		for i, c := range p.changes {
			h := stream.Head{Entry: c.new, Size: p.new.entries[c.new].Size}
			var err error
			if patches[i] == nil {
				err = w.Whole(h, bytes.NewReader(p.new.read(b, c.new)))
			} else {
				h.Base = &stream.Base{Entry: c.old}
				err = w.Patch(h, patches[i])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func streamOf(b *testing.B, o stream.Options, fill func(w *stream.Writer) error) []byte {
	b.Helper()
	var buf bytes.Buffer
	w, err := stream.NewWriter(&buf, o)
	must(b, err)
	must(b, fill(w))
	must(b, w.Close())
	return buf.Bytes()
}

// apply writes every file that the stream makes, and compares its digest.
func (p *pair) apply(b *testing.B, raw []byte) {
	b.Helper()
	s := stream.NewReader(bytes.NewReader(raw))
	defer s.Close()
	out := filepath.Join(p.work, "ours")
	must(b, os.MkdirAll(out, 0o755))
	made := sha256.New()
	files := 0
	for h, err := s.Next(); err != io.EOF; h, err = s.Next() {
		must(b, err)
		if h.Offset == 0 {
			made.Reset()
		}
		p.applyPiece(b, s, h, filepath.Join(out, p.new.entries[h.Entry].Digest.Short()), made)
		if h.Offset+h.Size == p.new.entries[h.Entry].Size {
			files++
			if james.Digest(made.Sum(nil)) != p.new.entries[h.Entry].Digest {
				b.Fatalf("%s: %s has another digest", p.name, p.new.entries[h.Entry].Path)
			}
		}
	}
	if files != len(p.changes) {
		b.Fatalf("%s: %d files of %d came", p.name, files, len(p.changes))
	}
}

func (p *pair) applyPiece(b *testing.B, s *stream.Reader, h stream.Head, name string, made io.Writer) {
	b.Helper()
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	must(b, err)
	in := s.Whole()
	if h.Base != nil {
		old, err := os.Open(p.old.path(h.Base.Entry))
		must(b, err)
		defer old.Close()
		in = s.Patch(old)
	}
	_, err = io.Copy(io.MultiWriter(f, made), in)
	must(b, err)
	must(b, f.Close())
}

// manifest returns how many bytes the manifest of the new version takes in zstd.
func (p *pair) manifest(b *testing.B) int64 {
	b.Helper()
	m := &james.Manifest{Name: "new", Entries: p.new.entries}
	encoded, _, err := m.Encode()
	must(b, err)
	return int64(len(streamOf(b, stream.Options{Codec: stream.Zstd, Level: stream.Best}, func(w *stream.Writer) error {
		return w.Whole(stream.Head{Size: int64(len(encoded))}, bytes.NewReader(encoded))
	})))
}
