package transfer

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"sync"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// diskError is a failure of the device's own disk, whose kind may be that of a
// lost connection.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

func onDisk(err error) error {
	if err == nil {
		return nil
	}
	return &diskError{err}
}

// unlike is the error of a content that came to its end and is another one.
type unlike struct{ error }

func (e *unlike) Unwrap() error { return e.error }

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// writer writes one content into the cache.
type writer struct {
	t    *transfer
	e    *james.Entry
	blob *blob
	from int64 // where this process has begun
	file *disk.Content
	sum  hash.Hash // nil where who hands out the content has compared it
}

// write takes all of a file's content. One that is not what it must be is dropped,
// with an error of KindCorrupt; what another failure cuts off stays.
func (t *transfer) write(e *james.Entry, content io.Reader, compared bool) error {
	w, err := t.open(e, 0, compared)
	if err != nil {
		return err
	}
	err = w.take(content)
	return w.end(err)
}

// open begins to write a content from offset on, which must be what is there of it.
// compared says that who hands it out compares it with its digest.
func (t *transfer) open(e *james.Entry, offset int64, compared bool) (*writer, error) {
	w := &writer{t: t, e: e}
	if err := w.open(offset, compared); err != nil {
		return nil, onDisk(err)
	}
	return w, nil
}

func (w *writer) open(offset int64, compared bool) (err error) {
	c := w.t.cache
	w.from = offset
	if !compared {
		w.sum = sha256.New()
	}
	if offset == 0 {
		if old := c.blobs[w.e.Digest]; old != nil {
			w.t.have -= old.size
			delete(c.blobs, w.e.Digest)
		}
		if w.file, err = c.disk.CreateContent(blobName(w.e.Digest), w.e.Sparse); err != nil {
			return err
		}
		w.blob = &blob{used: w.t.o.Now()}
		c.blobs[w.e.Digest] = w.blob
		return nil
	}
	var n int64
	if w.sum, n, err = c.sum(w.e.Digest); err != nil {
		return err
	}
	if w.file, err = c.disk.ContinueContent(blobName(w.e.Digest), w.e.Sparse); err != nil {
		return err
	}
	if n != offset || w.file.Size() != offset {
		_ = w.file.Close()
		return james.Errorf(james.KindConflict, w.e.Path.String(), "has %d bytes in the cache, not %d", n, offset)
	}
	w.blob = c.blobs[w.e.Digest]
	w.blob.sound, w.blob.used = false, w.t.o.Now()
	return nil
}

// take writes what content has: much at a time, but what is there before it has to
// wait for more.
func (w *writer) take(content io.Reader) error {
	buf := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buf)
	for held := 0; ; {
		n, err := content.Read(buf[held:])
		held += n
		if held == len(buf) || err != nil || w.t.starved() {
			if err := w.put(buf[:held]); err != nil {
				return err
			}
			held = 0
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (w *writer) put(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if int64(len(b)) > w.e.Size-w.blob.size {
		return james.Errorf(james.KindCorrupt, w.e.Path.String(), "has more than %d bytes", w.e.Size)
	}
	w.t.use(int64(len(b)))
	if _, err := w.file.Write(b); err != nil {
		return onDisk(err)
	}
	if w.sum != nil {
		w.sum.Write(b)
	}
	w.blob.size += int64(len(b))
	w.blob.takes = w.blob.size // of a sparse one, or more
	w.t.stored(int64(len(b)))
	return onDisk(w.t.sync.wrote(blobName(w.e.Digest), int64(len(b))))
}

// end closes the file, which err has cut off where it is not nil.
func (w *writer) end(err error) error {
	if cerr := w.file.Close(); err == nil {
		err = onDisk(cerr)
	}
	if err == nil {
		err = w.check()
	}
	return err
}

// check compares the content with what it must be.
func (w *writer) check() error {
	whole := w.blob.size == w.e.Size
	if whole && w.sum != nil {
		whole = james.Digest(w.sum.Sum(nil)) == w.e.Digest
	}
	if whole {
		w.blob.sound = true
		return nil
	}
	w.t.have -= w.blob.size
	if err := w.t.cache.drop(w.e.Digest); err != nil {
		return onDisk(err)
	}
	return &unlike{james.Errorf(james.KindCorrupt, w.e.Path.String(), "came as other content than the manifest says")}
}
