// Package cache keeps bytes that can be made or fetched again, in a directory and
// within a limit. What is wanted is made once, for all who ask at the same time;
// they read while it is being made. What has been used least recently goes first.
//
//	lock               keeps a second process out
//	KEY-ID             a whole entry: its bytes, then checksums of them
//	KEY-ID.part        one that is being made; what a crash leaves of it is removed
//
// KEY is the sha256 of the entry's key, ID is random: whoever sees the same ID
// again sees the same bytes again.
//
// What always holds: the files take no more than the limit, those that are being
// made and those that are removed while they are read included; no byte of a whole
// entry is read that differs from what was written, whatever happened to the file;
// an entry that is being read stays readable to its end. Nothing is fsynced: what a
// loss of power damages is noticed by its checksums, and is made again.
//
// The package does not know what the bytes are, and its memory use does not depend
// on how many there are, but for 4 bytes for each 32 KiB of what is being read.
package cache

import (
	"container/list"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// page is what files are counted in, so that many small ones are bounded, too.
const page = 4 << 10

// Cache is a directory of entries. It is safe for concurrent use.
type Cache struct {
	dir    string
	limit  int64
	now    func() time.Time
	random io.Reader
	write  func(f *os.File, p []byte, offset int64) (int, error)

	ctx    context.Context // ends with Close; all makings run under it
	cancel context.CancelCauseFunc
	makers sync.WaitGroup
	lock   *os.File

	mu     sync.Mutex
	closed bool
	items  map[name]*item // whole or being made
	order  list.List      // of the whole ones, the least recently used first
	used   int64          // bytes of the directory that files take
	last   time.Time      // latest time of use
	stats  Stats
}

// name is the sha256 of a key.
type name [sha256.Size]byte

func nameOf(key string) name { return sha256.Sum256([]byte(key)) }

func (n name) String() string { return hex.EncodeToString(n[:]) }

// Stats are the numbers of a cache. Those that count do so since Open.
type Stats struct {
	Entries int   // whole ones
	Used    int64 // bytes of the directory, at most Limit
	Limit   int64 // bytes
	// Hits are the calls that found an entry, whole or being made; Misses those of
	// Fill that had it made.
	Hits, Misses uint64
	Evictions    uint64 // entries that were removed to make room
	Damaged      uint64 // entries that were removed because their file was damaged
	Failed       uint64 // makings that failed
}

// Open returns the cache in dir, which it makes if need be, 0700, with what a
// process before this one left there. The files of the cache take limit bytes at
// most; others in dir are left alone. It fails with james.KindConflict while another
// process has the directory, and with james.KindUnavailable where it cannot be used.
func Open(dir string, limit int64) (*Cache, error) {
	if dir == "" {
		return nil, james.Errorf(james.KindInvalid, "cache directory", "the name is empty")
	}
	if limit <= 0 {
		return nil, james.Errorf(james.KindInvalid, "cache", "the limit of %d bytes leaves no room for anything", limit)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, james.Errorf(james.KindUnavailable, dir, "%w", err)
	}
	c := &Cache{dir: abs, limit: limit, now: time.Now, random: rand.Reader, write: (*os.File).WriteAt, items: make(map[name]*item)}
	c.ctx, c.cancel = context.WithCancelCause(context.Background())
	if err := os.MkdirAll(abs, 0o700); err != nil {
		return nil, c.failed(err)
	}
	if c.lock, err = c.takeLock(); err != nil {
		return nil, err
	}
	if err := c.scan(); err != nil {
		c.unlock()
		return nil, c.failed(err)
	}
	return c, nil
}

// Close ends what is being made, waits for it, and lets another process have the
// directory. Entries that are open stay readable until they are closed.
func (c *Cache) Close() error {
	c.mu.Lock()
	closed := c.closed
	c.closed = true
	c.mu.Unlock()
	c.cancel(c.isClosed())
	c.makers.Wait()
	if closed {
		return nil
	}
	return c.unlock()
}

// Stats returns the numbers as they are now.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries, s.Used, s.Limit = c.order.Len(), c.used, c.limit
	return s
}

// Open returns the entry of that key, whole or being made, if there is one. The
// context also ends what the entry's methods wait for.
func (c *Cache) Open(ctx context.Context, key string) (*Entry, bool) {
	it := c.find(nameOf(key))
	if it == nil {
		return nil, false
	}
	return newEntry(ctx, it), true
}

// find returns the item of that name with a reference to it, or nil.
func (c *Cache) find(n name) *item {
	c.mu.Lock()
	it := c.items[n]
	if c.closed || it == nil {
		c.mu.Unlock()
		return nil
	}
	it.refs++
	stamp := it.use()
	c.mu.Unlock()
	it.touch(stamp)
	if err := it.load(); err != nil {
		it.damaged()
		it.release()
		return nil
	}
	c.mu.Lock()
	c.stats.Hits++
	c.mu.Unlock()
	return it
}

// tick returns the time of a use, after all others whatever the clock does; c.mu is held.
func (c *Cache) tick() time.Time {
	t := c.now().Truncate(time.Microsecond)
	if !t.After(c.last) {
		t = c.last.Add(time.Microsecond)
	}
	c.last = t
	return t
}
