package transfer

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// blobDir is the directory of the cache in the state directory.
const blobDir = "blobs"

func blobName(d james.Digest) string { return blobDir + "/" + d.String() }

// cache is the contents that are on the disk, whole or in part. It is the only
// writer of its directory, so that it need not look there for what it knows.
type cache struct {
	disk  *disk.Disk
	limit int64
	blobs map[james.Digest]*blob
	// wanted are the contents of the current plan, as far as they are known.
	wanted map[james.Digest]bool
}

// blob is one content in the cache.
type blob struct {
	size  int64     // of the file
	takes int64     // on the disk
	used  time.Time // when it was written, or given to a transaction, last
	sound bool      // this process has compared it with its digest
}

// openCache reads the directory, and makes it where it is missing. What cannot be
// a content is removed.
func openCache(d *disk.Disk, limit int64) (*cache, error) {
	c := &cache{disk: d, limit: limit, blobs: make(map[james.Digest]*blob), wanted: make(map[james.Digest]bool)}
	if err := d.MkdirAll(blobDir, 0o700); err != nil {
		return nil, err
	}
	names, err := d.ReadDir(blobDir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		digest, err := james.ParseDigest(name)
		if err == nil {
			err = c.look(digest)
		}
		if err != nil {
			_ = d.RemoveAll(blobDir + "/" + name) // what stays is in nobody's way
		}
	}
	return c, nil
}

// Count returns how many contents lie in the directory of a fetcher, which may be at
// work.
func Count(d *disk.Disk) (int, error) {
	names, err := d.ReadDir(blobDir)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	return len(names), err
}

// look notes what there is of a content. It fails for what is no content.
func (c *cache) look(digest james.Digest) error {
	info, err := c.disk.Lstat(blobName(digest))
	if err != nil {
		return err
	}
	if info.Type != james.TypeFile {
		return james.Errorf(james.KindConflict, blobName(digest), "is a %s", info.Type)
	}
	c.blobs[digest] = &blob{size: info.Size, takes: 512 * info.Blocks, used: info.Changed}
	return nil
}

// missing returns how many bytes of a file's content are not there, as far as
// that is seen without reading it.
func (c *cache) missing(e *james.Entry) int64 {
	size := e.Size
	if e.Sparse {
		size = min(size, e.Data)
	}
	b := c.blobs[e.Digest]
	if b == nil || b.size > e.Size {
		return size
	}
	return min(size, e.Size-b.size)
}

// has reports whether the whole of a content is there and sound. What is whole and
// not sound is dropped.
func (c *cache) has(e *james.Entry) (bool, error) {
	b := c.blobs[e.Digest]
	switch {
	case b == nil || b.size < e.Size:
		return false, nil
	case b.sound:
		return true, nil
	case b.size == e.Size:
		sum, _, err := c.sum(e.Digest)
		if err == nil && james.Digest(sum.Sum(nil)) == e.Digest {
			b.sound = true
			return true, nil
		}
		// One that may not be read got its mode from a transaction that was undone.
		if kind := james.KindOf(err); err != nil && !errors.Is(err, os.ErrNotExist) && kind != james.KindCorrupt && kind != james.KindDenied {
			return false, err
		}
	}
	return false, c.drop(e.Digest)
}

// sum hashes what is there of a content.
func (c *cache) sum(digest james.Digest) (hash.Hash, int64, error) {
	sum := sha256.New()
	file, err := c.disk.OpenFile(blobName(digest))
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	n, err := io.Copy(sum, file)
	if err != nil {
		return nil, 0, james.Errorf(james.KindCorrupt, file.Name(), "%w", err)
	}
	return sum, n, nil
}

// partial returns how much of a content there is to go on from. A file that has
// another name is none to write to.
func (c *cache) partial(e *james.Entry) int64 {
	b := c.blobs[e.Digest]
	if b == nil || b.size == 0 || b.size >= e.Size {
		return 0
	}
	if info, err := c.disk.Lstat(blobName(e.Digest)); err != nil || info.Size != b.size || info.Links > 1 {
		return 0
	}
	return b.size
}

// drop removes a content.
func (c *cache) drop(digest james.Digest) error {
	if c.blobs[digest] == nil {
		return nil
	}
	delete(c.blobs, digest)
	return c.disk.RemoveAll(blobName(digest))
}

// dropInstalled drops what has another name than that in the cache. What cannot be
// looked at stays.
func (c *cache) dropInstalled() {
	for digest := range c.blobs {
		if info, err := c.disk.Lstat(blobName(digest)); err == nil && info.Links > 1 {
			_ = c.drop(digest) // the next time, then
		}
	}
}

// give notes that a content is given to a transaction, which may have it
// installed and run. What comes back of it is compared with its digest again.
func (c *cache) give(digest james.Digest) bool {
	b := c.blobs[digest]
	if b == nil || !b.sound && b.size == 0 {
		return false
	}
	b.sound, b.used = false, time.Now()
	return true
}

// release makes the contents of the current plan such as others have left.
func (c *cache) release() { clear(c.wanted) }

// trim evicts what the current plan does not need until at most limit bytes of it
// are left, the longest unused first.
func (c *cache) trim(limit int64) {
	var others []james.Digest
	var total int64
	for digest, b := range c.blobs {
		if !c.wanted[digest] {
			others = append(others, digest)
			total += b.takes
		}
	}
	slices.SortFunc(others, func(a, b james.Digest) int {
		return cmp.Or(c.blobs[a].used.Compare(c.blobs[b].used), slices.Compare(a[:], b[:]))
	})
	for _, digest := range others {
		if total <= limit && limit > 0 {
			return
		}
		total -= c.blobs[digest].takes
		_ = c.drop(digest) // the next one is dropped in its place
	}
}

// makeRoom evicts all that the current plan does not need where the disk has not
// room for so many bytes more, and then some.
func (c *cache) makeRoom(bytes int64) {
	space, err := c.disk.Space(".")
	if err == nil && space.Free-spare < bytes+bytes/4 {
		c.trim(0)
	}
}

// spare is what is left free for others while there is something to evict, in
// bytes.
const spare = 64 << 20
