package cache

import (
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// found is a file of an earlier process.
type found struct {
	*item
	used time.Time
}

// scan takes over what is in the directory: whole entries in the order of their last
// use, as far as they are within the limit. Remains of unfinished ones are removed.
func (c *Cache) scan() error {
	files, err := os.ReadDir(c.dir)
	if err != nil {
		return err
	}
	var all []found
	for _, file := range files {
		f, err := c.inspect(file)
		if err != nil {
			return err
		}
		if f.item != nil {
			all = append(all, f)
		}
	}
	slices.SortFunc(all, func(a, b found) int { return a.used.Compare(b.used) })
	for _, f := range all {
		c.adopt(f)
	}
	for c.used > c.limit && c.evict() {
	}
	return nil
}

// inspect returns the entry whose file that is, if it is one.
func (c *Cache) inspect(file fs.DirEntry) (found, error) {
	base, part := strings.CutSuffix(file.Name(), partSuffix)
	it := &item{c: c, done: true}
	if !it.parse(base) || !file.Type().IsRegular() {
		return found{}, nil
	}
	if part {
		return found{}, os.Remove(filepath.Join(c.dir, file.Name()))
	}
	fi, err := file.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return found{}, nil
	}
	if err != nil {
		return found{}, err
	}
	it.charge = pages(fi.Size())
	return found{it, fi.ModTime()}, nil
}

// parse takes name and id from the name of a file.
func (it *item) parse(base string) bool {
	n, id, ok := strings.Cut(base, "-")
	if !ok || len(n) != 2*len(it.name) || len(id) != 2*len(it.id) || base != strings.ToLower(base) {
		return false
	}
	_, errName := hex.Decode(it.name[:], []byte(n))
	_, errID := hex.Decode(it.id[:], []byte(id))
	return errName == nil && errID == nil
}

// adopt makes an entry the most recently used one, in place of an older one of its key.
func (c *Cache) adopt(f found) {
	if older := c.items[f.name]; older != nil {
		older.hide()
		c.used -= older.charge
		_ = os.Remove(older.path())
	}
	c.items[f.name] = f.item
	f.element = c.order.PushBack(f.item)
	c.used += f.charge
	c.last = f.used
}
