package agent

import (
	"context"
	"io"
	"os"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// Dir is as in txn.Source.
func (f *fetcher) Dir() *disk.Disk { return f.state.disk }

// Missing counts an archive and the files of it that are not there, as far as that
// is seen without reading them.
func (f *fetcher) Missing(o *txn.Order) int64 {
	var all int64
	for _, w := range o.Wants {
		var files int64
		for _, k := range w.Entries {
			if e := &w.Manifest.Entries[k]; f.state.size(contentName(w.Packet, e)) != e.Size {
				files += stored(e)
			}
		}
		if files > 0 {
			all += files + f.missing(w.Packet)
		}
	}
	return all
}

// stored is what a file takes: one that is sparse has holes.
func stored(e *james.Entry) int64 {
	if e.Sparse {
		return min(e.Size, e.Data)
	}
	return e.Size
}

// Fetch downloads the archives of packets of which something is not there, and
// takes it out of them.
func (f *fetcher) Fetch(ctx context.Context, o *txn.Order) error {
	for _, w := range o.Wants {
		lacks := f.lacking(w)
		if len(lacks) == 0 {
			continue
		}
		in, err := f.archive(ctx, w.Packet, o.Use)
		if err != nil {
			return err
		}
		err = f.unpack(ctx, in, w, lacks, o.Use)
		in.Close() // it was only read
		if err != nil {
			return err
		}
	}
	return nil
}

// lacking returns the entries of which no sound content is there. An unsound one is
// removed.
func (f *fetcher) lacking(w txn.Want) map[james.Path]bool {
	lacks := make(map[james.Path]bool)
	for _, k := range w.Entries {
		e := &w.Manifest.Entries[k]
		name := contentName(w.Packet, e)
		f.contents[e.Digest] = name
		switch size := f.state.size(name); {
		case size == e.Size && f.sound[e.Digest]:
			continue
		case size == e.Size && f.hash(name, e):
			f.sound[e.Digest] = true
			continue
		case size >= 0:
			f.state.remove(name)
		}
		lacks[e.Path] = true
	}
	return lacks
}

func (f *fetcher) hash(name string, e *james.Entry) bool {
	sum, n, err := f.state.sum(name, e.Size)
	return err == nil && n == e.Size && james.Digest(sum.Sum(nil)) == e.Digest
}

// unpack stores what lacks of a packet. Every byte is verified on the way.
func (f *fetcher) unpack(ctx context.Context, in io.Reader, w txn.Want, lacks map[james.Path]bool, use func(int64)) error {
	if err := f.state.disk.MkdirAll(contentsOf(w.Packet), 0o700); err != nil {
		return err
	}
	own := disk.Meta{Mode: 0o600, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	return archive.Extract(ctx, in, w.Manifest, func(e *james.Entry, content io.Reader) error {
		if !lacks[e.Path] {
			return nil
		}
		name := contentName(w.Packet, e)
		if err := f.state.disk.WriteNew(name, &using{content, use}, disk.New{Meta: own, Size: e.Size, Sparse: e.Sparse}); err != nil {
			f.state.remove(name)
			return err
		}
		f.sound[e.Digest] = true
		return nil
	})
}

// using says what it is read for, right before that is written.
type using struct {
	io.Reader
	use func(bytes int64)
}

func (u *using) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	u.use(int64(n))
	return n, err
}

// Content returns the path of a content that was fetched. Whoever has it may change
// it, so it is read again before it is fetched the next time.
func (f *fetcher) Content(d james.Digest) (string, error) {
	name, ok := f.contents[d]
	if !ok || f.state.size(name) < 0 {
		return "", james.Errorf(james.KindNotFound, "content "+d.Short(), "was not fetched")
	}
	delete(f.sound, d)
	return name, nil
}

// Forget removes contents that are installed.
func (f *fetcher) Forget(contents []james.Digest) {
	for _, d := range contents {
		if name, ok := f.contents[d]; ok {
			f.state.remove(name)
			delete(f.contents, d)
			delete(f.sound, d)
		}
	}
}

const contentDir = "contents"

// contentsOf is where the contents out of a packet's archive lie.
func contentsOf(p *james.Packet) string { return contentDir + "/" + p.Digest.String() }

func contentName(p *james.Packet, e *james.Entry) string {
	return contentsOf(p) + "/" + e.Digest.String()
}
