package cache

import (
	"context"
	"encoding/hex"
	"hash/crc32"
	"io"
	"os"
	"sync"

	"github.com/trusch/jamesd/pkg/james"
)

// Entry reads an entry from any place, also while it is being made. It is for one
// goroutine.
type Entry struct {
	ctx    context.Context
	it     *item
	closed bool

	pos   int64
	sound int64 // the block that was found sound last; -1 before
}

func newEntry(ctx context.Context, it *item) *Entry {
	return &Entry{ctx: ctx, it: it, sound: -1}
}

// ID names the bytes of the entry, also those that are to come: an entry that is
// made again under the same key has another ID, one that was found again after a
// restart has the same. It can go into an ETag.
func (e *Entry) ID() string { return hex.EncodeToString(e.it.id[:]) }

// Size returns how many bytes can be read now, and whether these are all.
func (e *Entry) Size() (n int64, whole bool) {
	e.it.c.mu.Lock()
	defer e.it.c.mu.Unlock()
	return e.it.size, e.it.complete()
}

// complete reports whether all bytes are there; c.mu is held.
func (it *item) complete() bool { return it.done && it.err == nil }

// Wait returns when all bytes are there, or with the error of the making.
func (e *Entry) Wait() error {
	for pos := int64(0); ; {
		if err := e.await(pos); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		pos, _ = e.Size()
	}
}

// await waits until there is a byte at pos. It returns io.EOF where there never
// will be as the entry ends before.
func (e *Entry) await(pos int64) error {
	if e.closed {
		return readAfterClose()
	}
	it, c := e.it, e.it.c
	for {
		if err := interrupted(e.ctx); err != nil {
			return err
		}
		c.mu.Lock()
		var changed <-chan struct{}
		switch {
		case pos < it.size:
			c.mu.Unlock()
			return nil
		case it.complete():
			c.mu.Unlock()
			return io.EOF
		case it.done:
			c.mu.Unlock()
			return it.err
		default:
			changed = it.wait()
			c.mu.Unlock()
		}
		select {
		case <-changed:
		case <-e.ctx.Done():
		}
	}
}

// Read reads what is there, and waits where nothing is there yet. It fails with
// james.KindCorrupt where the file is damaged; the entry is then removed, and who
// asks for it again has it made again.
func (e *Entry) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if err := e.await(e.pos); err != nil {
		return 0, err
	}
	n, err := e.readBlock(p)
	e.pos += int64(n)
	return n, err
}

var scratch = sync.Pool{New: func() any { return new([blockSize]byte) }}

// readBlock reads from the block at pos.
func (e *Entry) readBlock(p []byte) (int, error) {
	block := e.pos / blockSize
	start := block * blockSize
	e.it.c.mu.Lock()
	file, size := e.it.file, e.it.size
	end := min(start+blockSize, size)
	known := block < int64(len(e.it.sums))
	var sum uint32
	if known {
		sum = e.it.sums[block]
	}
	e.it.c.mu.Unlock()

	p = p[:min(int64(len(p)), end-e.pos)]
	switch {
	case !known || block == e.sound:
		return len(p), e.readAt(file, p, e.pos)
	case e.pos == start && e.pos+int64(len(p)) == end:
		return e.check(len(p), e.readSound(file, p, start, sum), block)
	}
	whole := scratch.Get().(*[blockSize]byte)
	defer scratch.Put(whole)
	err := e.readSound(file, whole[:end-start], start, sum)
	copy(p, whole[e.pos-start:])
	return e.check(len(p), err, block)
}

func (e *Entry) check(n int, err error, block int64) (int, error) {
	if err != nil {
		return 0, err
	}
	e.sound = block
	return n, nil
}

// readSound fills p with a whole block.
func (e *Entry) readSound(file *os.File, p []byte, offset int64, sum uint32) error {
	if err := e.readAt(file, p, offset); err != nil {
		return err
	}
	if crc32.Checksum(p, castagnoli) != sum {
		return e.corrupt(offset, "the checksum differs")
	}
	return nil
}

func (e *Entry) readAt(file *os.File, p []byte, offset int64) error {
	n, err := file.ReadAt(p, offset)
	if n == len(p) {
		return nil
	}
	return e.corrupt(offset, err.Error())
}

// corrupt removes the entry, as it is damaged.
func (e *Entry) corrupt(offset int64, cause string) error {
	e.it.damaged()
	return james.Errorf(james.KindCorrupt, e.it.c.dir, "entry %.12s is damaged at byte %d: %s", e.it.name, offset, cause).
		WithHint("It was removed and will be made again. The disk may be failing.")
}

// Seek implements io.Seeker. Seeking from the end waits for it.
func (e *Entry) Seek(offset int64, whence int) (int64, error) {
	var from int64
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		from = e.pos
	case io.SeekEnd:
		if err := e.Wait(); err != nil {
			return 0, err
		}
		from, _ = e.Size()
	default:
		return 0, james.Errorf(james.KindInvalid, "seek", "%d is no whence", whence)
	}
	if from+offset < 0 {
		return 0, james.Errorf(james.KindInvalid, "seek", "the position %d is before the start", from+offset)
	}
	e.pos = from + offset
	return e.pos, nil
}

// Close lets go of the entry.
func (e *Entry) Close() error {
	if !e.closed {
		e.closed = true
		e.it.release()
	}
	return nil
}
