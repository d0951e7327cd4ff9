package cache

import (
	"context"
	"hash/crc32"
	"io"
	"os"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Fill returns the entry of that key. Where there is none, produce makes it: it
// writes all bytes to w, under a context that ends with Close and not with ctx, as
// others may read the entry, or will. Whoever asks for the key meanwhile reads what
// is there so far and follows.
//
// Fill returns when there is something to read. Where nothing was written before
// produce failed, its error is Fill's; after that it is the error of each reader who
// has read what there is. An entry whose making failed is not kept. Writing fails
// with an error that is ErrNoRoom where the entry has no room beside those that are
// being read or made, and with one that is ErrDisk where the disk fails; produce must
// then end. ctx also ends what the entry's methods wait for.
func (c *Cache) Fill(ctx context.Context, key string, produce func(ctx context.Context, w io.Writer) error) (*Entry, error) {
	it, err := c.findOrMake(nameOf(key), produce)
	if err != nil {
		return nil, err
	}
	e := newEntry(ctx, it)
	if err := e.await(0); err != nil && err != io.EOF {
		e.Close()
		return nil, err
	}
	return e, nil
}

// findOrMake returns the item of that name with a reference to it.
func (c *Cache) findOrMake(n name, produce func(context.Context, io.Writer) error) (*item, error) {
	for {
		if it := c.find(n); it != nil {
			return it, nil
		}
		it := &item{c: c, name: n, part: true}
		if _, err := io.ReadFull(c.random, it.id[:]); err != nil {
			return nil, james.Errorf(james.KindInternal, "random numbers", "%w", err)
		}
		c.mu.Lock()
		switch {
		case c.closed:
			c.mu.Unlock()
			return nil, c.isClosed()
		case c.items[n] != nil: // somebody was quicker
			c.mu.Unlock()
			continue
		}
		it.refs = 2 // the maker's and the caller's
		c.items[n] = it
		c.stats.Misses++
		c.makers.Go(func() { it.make(produce) })
		c.mu.Unlock()
		return it, nil
	}
}

// make is the whole making of an item.
func (it *item) make(produce func(context.Context, io.Writer) error) {
	defer it.release()
	m := &making{item: it}
	err := m.create()
	if err == nil {
		err = m.produce(produce)
	}
	m.end(err)
	if err == nil {
		m.keep()
	}
}

// Unread returns for how long nobody has had the entry open which is being made by
// writing to w, as Fill has given it to produce; 0 while somebody has. What is not wanted
// any more need not be made.
func Unread(w io.Writer) time.Duration {
	m, ok := w.(*making)
	if !ok {
		return 0
	}
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if m.refs > 1 {
		return 0
	}
	return m.c.now().Sub(m.left)
}

// making writes an item. It is for one goroutine.
type making struct {
	*item
	block uint32 // checksum of the last block, which is not full
}

func (m *making) create() error {
	file, err := os.OpenFile(m.path(), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return m.c.refused(err)
	}
	m.c.mu.Lock()
	m.file = file
	m.c.mu.Unlock()
	return nil
}

// produce calls the function that has the bytes. It runs without anybody above it
// who could recover from a panic.
func (m *making) produce(f func(context.Context, io.Writer) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = james.Errorf(james.KindInternal, "cache", "making an entry panicked: %v", p)
		}
	}()
	return f(m.c.ctx, m)
}

// Write adds bytes, which all readers may have at once.
func (m *making) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		m.c.mu.Lock()
		done, size := m.done, m.size
		m.c.mu.Unlock()
		if done {
			return written, james.Errorf(james.KindInternal, "cache", "an entry was written to after its end")
		}
		if err := interrupted(m.c.ctx); err != nil {
			return written, err
		}
		piece := p[written:min(len(p), written+blockSize-int(size%blockSize))]
		n, err := m.put(piece, size)
		m.grow(piece[:n])
		written += n
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// put writes p at an offset of the file, and makes room for it.
func (m *making) put(p []byte, offset int64) (int, error) {
	if err := m.c.reserve(m.item, offset+int64(len(p))); err != nil {
		return 0, err
	}
	written := 0
	for {
		n, err := m.c.write(m.file, p[written:], offset+int64(written))
		written += n
		if err == nil {
			return written, nil
		}
		if !isFull(err) || !m.c.evict() {
			return written, m.c.refused(err)
		}
	}
}

// grow lets readers have p, which is in the file. It lies within one block.
func (m *making) grow(p []byte) {
	if len(p) == 0 {
		return
	}
	m.block = crc32.Update(m.block, castagnoli, p)
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	m.size += int64(len(p))
	if m.size%blockSize == 0 {
		m.sums = append(m.sums, m.block)
		m.block = 0
	}
	m.wake()
}

// end tells the readers that nothing more comes.
func (m *making) end(err error) {
	m.c.mu.Lock()
	defer m.c.mu.Unlock()
	if err == nil && m.size%blockSize != 0 {
		m.sums = append(m.sums, m.block)
	}
	m.done, m.err = true, err
	if err != nil {
		m.hide()
		m.c.stats.Failed++
	}
	m.wake()
}

// keep makes a whole item last. Where it cannot, those who read it have it all the same.
func (m *making) keep() {
	c := m.c
	footer := appendFooter(nil, m.size, m.sums, m.name, m.id)
	_, err := m.put(footer, m.size)
	if err == nil {
		c.mu.Lock()
		from := m.path()
		m.part = false
		to := m.path()
		c.mu.Unlock()
		err = os.Rename(from, to)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		m.hide()
		c.stats.Failed++
		return
	}
	if !m.removed { // damaged already
		m.element = c.order.PushBack(m.item)
	}
}
