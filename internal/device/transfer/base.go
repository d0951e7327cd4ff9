package transfer

import (
	"crypto/sha256"
	"io"

	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// baseFile is a base that remembers why it could not be read.
type baseFile struct {
	txn.BaseFile
	err error
}

func (b *baseFile) ReadAt(p []byte, off int64) (int, error) {
	n, err := b.BaseFile.ReadAt(p, off)
	if err != nil && err != io.EOF {
		b.err = err
	}
	return n, err
}

// base opens the file that a patch is against. It returns nil where that is not
// what its manifest says: somebody has edited it, or there is none. A patch is no
// reason to fail.
func (t *transfer) base(b *stream.Base) (*baseFile, error) {
	if b.Have < 0 || b.Have >= len(t.order.Have) || t.order.Base == nil {
		return nil, james.Errorf(james.KindCorrupt, "stream of contents", "a patch is against a file of packet %d of %d", b.Have, len(t.order.Have))
	}
	m := t.order.Have[b.Have].Manifest
	if b.Entry < 0 || b.Entry >= len(m.Entries) || m.Entries[b.Entry].Type != james.TypeFile {
		return nil, james.Errorf(james.KindCorrupt, "stream of contents", "a patch is against entry %d of %s, which is no file", b.Entry, m.Name)
	}
	key := [2]int{b.Have, b.Entry}
	sound, known := t.bases[key]
	if known && !sound {
		return nil, nil
	}
	file, err := t.order.Base(b.Have, b.Entry)
	if err != nil {
		t.refuseBase(key, &m.Entries[b.Entry], err)
		return nil, nil
	}
	if !known {
		t.o.Expect(diskLimit)
		if err := compareBase(file, &m.Entries[b.Entry]); err != nil {
			_ = file.Close() // it was only read
			t.refuseBase(key, &m.Entries[b.Entry], err)
			return nil, nil
		}
	}
	t.bases[key] = true
	return &baseFile{BaseFile: file}, nil
}

func (t *transfer) refuseBase(key [2]int, e *james.Entry, err error) {
	t.bases[key] = false
	t.log.WithError(err).WithField("path", e.Path.String()).Info("an installed file is not what its packet says, fetching the new one whole")
}

func compareBase(file txn.BaseFile, e *james.Entry) error {
	sum := sha256.New()
	n, err := io.Copy(sum, io.NewSectionReader(file, 0, file.Size()))
	if err != nil {
		return err
	}
	if n != e.Size || james.Digest(sum.Sum(nil)) != e.Digest {
		return james.Errorf(james.KindCorrupt, e.Path.String(), "was changed on the device")
	}
	return nil
}
