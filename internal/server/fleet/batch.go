package fleet

import (
	"io"

	"github.com/trusch/jamesd/internal/server/blob"
)

// What is held of the small contents of an archive: one batch is filled while the
// other is put into the store.
const (
	smallContent  = 1 << 20 // bytes at most
	batchSize     = 4 << 20 // bytes
	batchContents = 4096
	batches       = 2
)

// batch is contents one behind the other in one piece of memory.
type batch struct {
	memory   []byte
	contents [][]byte
}

func (b *batch) fits(size int) bool {
	return len(b.contents) < batchContents && len(b.memory)+size <= batchSize
}

// read adds content, which has that size. One that turns out to be cut off is not
// added, and no failure: who hands it out comes upon that too.
func (b *batch) read(size int, content io.Reader) error {
	start := len(b.memory)
	room := b.memory[start : start+size : start+size]
	switch _, err := io.ReadFull(content, room); err {
	case nil:
		b.memory = b.memory[:start+size]
		b.contents = append(b.contents, room)
		return nil
	case io.EOF, io.ErrUnexpectedEOF:
		return nil
	default:
		return err
	}
}

// takeSmall reads content, which is stored with others like it.
func (k *keeper) takeSmall(size int, content io.Reader) error {
	if k.filling != nil && !k.filling.fits(size) {
		k.put()
	}
	if k.ctx.Err() != nil {
		return k.failure()
	}
	if k.filling == nil {
		select {
		case k.filling = <-k.batches:
		case <-k.ctx.Done():
			return k.failure()
		}
	}
	if k.filling == nil {
		k.filling = &batch{memory: make([]byte, 0, batchSize)}
	}
	return k.filling.read(size, content)
}

// put stores what was filled.
func (k *keeper) put() {
	b := k.filling
	if k.filling = nil; b == nil {
		return
	}
	k.work.Go(func() {
		if err := k.blobs.Put(k.ctx, blob.Compressed, b.contents); err != nil {
			k.cancel(err)
		}
		b.memory, b.contents = b.memory[:0], b.contents[:0]
		k.batches <- b
	})
}
