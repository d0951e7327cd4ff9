package cache

import (
	"container/list"
	"encoding/hex"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// partSuffix ends the names of files that are being made.
const partSuffix = ".part"

// item is one entry's file. What is not marked otherwise is guarded by Cache.mu.
type item struct {
	c    *Cache
	name name     // constant
	id   [16]byte // constant

	refs    int           // makers and readers
	element *list.Element // in Cache.order; nil while it is being made, and when it was removed
	removed bool          // or to be removed: not to be found any more
	charge  int64         // what of Cache.used is for it
	part    bool          // the file has its first name still
	left    time.Time     // when the last reader went, while only the maker is there

	size    int64         // bytes that can be read
	done    bool          // there will be no more
	err     error         // why there will be no more, if these are not all
	changed chan struct{} // closed when size or done change; nil while nobody waits

	loading sync.Mutex
	file    *os.File // while there are references
	sums    []uint32 // checksums of its blocks, likewise
}

// path returns where the file is; c.mu is held.
func (it *item) path() string {
	path := filepath.Join(it.c.dir, it.name.String()+"-"+hex.EncodeToString(it.id[:]))
	if it.part {
		path += partSuffix
	}
	return path
}

// use makes the item the most recently used one and returns the time of that, zero
// where there is nothing to remember; c.mu is held.
func (it *item) use() time.Time {
	if it.element == nil {
		return time.Time{}
	}
	it.c.order.MoveToBack(it.element)
	return it.c.tick()
}

// touch keeps the time of a use for the next process. Nothing is lost without it
// but the order.
func (it *item) touch(stamp time.Time) {
	if stamp.IsZero() {
		return
	}
	it.c.mu.Lock()
	path := it.path()
	it.c.mu.Unlock()
	_ = os.Chtimes(path, stamp, stamp)
}

// load opens the file of a whole item, unless it is open. The caller has a reference.
func (it *item) load() error {
	it.loading.Lock()
	defer it.loading.Unlock()
	it.c.mu.Lock()
	loaded, removed, path := it.file != nil || it.part, it.removed, it.path()
	it.c.mu.Unlock()
	switch {
	case loaded:
		return nil
	case removed:
		return errFooter
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	size, sums, err := readFooter(file, it.name, it.id)
	if err != nil {
		file.Close()
		return err
	}
	it.c.mu.Lock()
	defer it.c.mu.Unlock()
	it.file, it.size, it.sums = file, size, sums
	return nil
}

// wake tells all who wait that something changed; c.mu is held.
func (it *item) wake() {
	if it.changed != nil {
		close(it.changed)
		it.changed = nil
	}
}

// wait returns a channel that is closed with the next change; c.mu is held.
func (it *item) wait() <-chan struct{} {
	if it.changed == nil {
		it.changed = make(chan struct{})
	}
	return it.changed
}

// damaged removes an item whose file is not what was written.
func (it *item) damaged() {
	c := it.c
	c.mu.Lock()
	if !it.removed {
		c.stats.Damaged++
	}
	it.hide()
	c.mu.Unlock()
}

// hide sees to it that the item is not found any more, and is removed with its last
// reference; c.mu is held.
func (it *item) hide() {
	if it.removed {
		return
	}
	it.removed = true
	delete(it.c.items, it.name)
	if it.element != nil {
		it.c.order.Remove(it.element)
		it.element = nil
	}
}

// release gives a reference back.
func (it *item) release() {
	c := it.c
	c.mu.Lock()
	stamp := it.use()
	it.refs--
	if it.refs == 1 {
		it.left = c.now()
	}
	if it.refs > 0 {
		c.mu.Unlock()
		it.touch(stamp)
		return
	}
	file := it.file
	it.file, it.sums = nil, nil
	removed, path := it.removed, it.path()
	c.mu.Unlock()
	it.touch(stamp)
	if removed {
		_ = os.Remove(path) // what is left is removed by the next Open
	}
	if file != nil {
		file.Close()
	}
	if removed {
		c.mu.Lock()
		c.used -= it.charge
		it.charge = 0
		c.mu.Unlock()
	}
}
