// Package drive is the disk drive of a virtual machine: an image in a file behind
// a write cache that loses its power with the machine. What the machine has
// written is durable when it has flushed the drive or written with FUA, as the
// specification of a drive says. Of all else, a power cut keeps any blocks it
// likes, in no order.
//
// A drive is reached through NBD, the protocol that qemu speaks to disks outside
// of it; see Serve.
package drive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
)

// Block is what a power cut keeps or loses as a whole, in bytes.
const Block = 4096

// Drive is a disk drive. Its methods are safe for concurrent use.
type Drive struct {
	mu    sync.Mutex
	file  *os.File
	size  int64
	cache []cached         // what is not durable, in the order it was written
	now   map[int64][]byte // the newest content of the blocks in cache
	stats Stats
}

// cached is one block that was written and is not durable.
type cached struct {
	block   int64
	content []byte
}

// Stats counts what was asked of a drive since it was opened.
type Stats struct {
	Writes  int64 // of blocks
	Flushes int64 // flushes, and writes with FUA
}

// Open opens the drive of an image, whose size must be a multiple of Block.
func Open(image string) (*Drive, error) {
	file, err := os.OpenFile(image, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (info.Size() == 0 || info.Size()%Block != 0) {
		err = fmt.Errorf("%s has %d bytes, which is no multiple of %d", image, info.Size(), Block)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &Drive{file: file, size: info.Size(), now: map[int64][]byte{}}, nil
}

// Close closes the image. What is in the cache is lost.
func (d *Drive) Close() error { return d.file.Close() }

// Size returns the drive's size in bytes.
func (d *Drive) Size() int64 { return d.size }

// Stats returns what was asked of the drive.
func (d *Drive) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// ReadAt reads what was written last, durable or not.
func (d *Drive) ReadAt(p []byte, at int64) error {
	if err := d.check(p, at); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.read(p, at)
}

func (d *Drive) read(p []byte, at int64) error {
	if _, err := d.file.ReadAt(p, at); err != nil {
		return err
	}
	return pieces(p, at, func(block int64, from int, piece []byte) error {
		if content, ok := d.now[block]; ok {
			copy(piece, content[from:])
		}
		return nil
	})
}

// WriteAt writes p, durably if fua is set.
func (d *Drive) WriteAt(p []byte, at int64, fua bool) error {
	if err := d.check(p, at); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if fua {
		d.stats.Flushes++
	}
	return pieces(p, at, func(block int64, from int, piece []byte) error {
		content := make([]byte, Block)
		if len(piece) < Block {
			if err := d.read(content, block*Block); err != nil {
				return err
			}
		}
		copy(content[from:], piece)
		d.stats.Writes++
		if fua {
			return d.store(block, content)
		}
		d.cache = append(d.cache, cached{block, content})
		d.now[block] = content
		return nil
	})
}

// store makes a block durable and forgets what was written to it before.
func (d *Drive) store(block int64, content []byte) error {
	if _, ok := d.now[block]; ok {
		delete(d.now, block)
		kept := d.cache[:0]
		for _, c := range d.cache {
			if c.block != block {
				kept = append(kept, c)
			}
		}
		d.cache = kept
	}
	_, err := d.file.WriteAt(content, block*Block)
	return err
}

// Flush makes durable all that was written.
func (d *Drive) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.Flushes++
	for block, content := range d.now {
		if _, err := d.file.WriteAt(content, block*Block); err != nil {
			return err
		}
	}
	d.cache = nil
	clear(d.now)
	return nil
}

// Loss says what a power cut did to the blocks that were not durable.
type Loss struct{ Kept, Lost int }

// Cut takes the power away: every write that is not durable has reached the
// medium with the probability keep, each for itself, the later over the earlier.
// The drive can be used again at once.
func (d *Drive) Cut(rnd *rand.Rand, keep float64) (Loss, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var l Loss
	for _, c := range d.cache {
		if rnd.Float64() >= keep {
			l.Lost++
			continue
		}
		l.Kept++
		if _, err := d.file.WriteAt(c.content, c.block*Block); err != nil {
			return l, err
		}
	}
	d.cache = nil
	clear(d.now)
	return l, nil
}

func (d *Drive) check(p []byte, at int64) error {
	if at < 0 || at > d.size || int64(len(p)) > d.size-at {
		return fmt.Errorf("%d bytes at %d are not on a drive of %d bytes", len(p), at, d.size)
	}
	return nil
}

// pieces calls do with the parts of p, which lies at the offset at, block by
// block: from is where the piece begins in its block.
func pieces(p []byte, at int64, do func(block int64, from int, piece []byte) error) error {
	for len(p) > 0 {
		from := int(at % Block)
		n := min(len(p), Block-from)
		if err := do(at/Block, from, p[:n]); err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}
