package cache

import "os"

// pages returns what a file of that size takes.
func pages(size int64) int64 { return (size + page - 1) / page * page }

// reserve counts the file of an item as having size bytes, and removes others until
// that is within the limit. It fails with ErrNoRoom.
func (c *Cache) reserve(it *item, size int64) error {
	for {
		c.mu.Lock()
		need := pages(size) - it.charge
		if need <= 0 || c.used+need <= c.limit {
			if need > 0 {
				c.used += need
				it.charge += need
			}
			c.mu.Unlock()
			return nil
		}
		c.mu.Unlock()
		if !c.evict() {
			return c.noRoom()
		}
	}
}

// evict removes the least recently used entry of those that nobody reads. It returns
// false where there is none.
func (c *Cache) evict() bool {
	c.mu.Lock()
	victim := c.victim()
	if victim == nil {
		c.mu.Unlock()
		return false
	}
	victim.hide()
	c.stats.Evictions++
	path := victim.path()
	c.mu.Unlock()
	_ = os.Remove(path) // what is left is removed by the next Open
	c.mu.Lock()
	c.used -= victim.charge
	c.mu.Unlock()
	return true
}

// victim returns the entry to be removed next, or nil; c.mu is held.
func (c *Cache) victim() *item {
	for e := c.order.Front(); e != nil; e = e.Next() {
		if it := e.Value.(*item); it.refs == 0 {
			return it
		}
	}
	return nil
}
