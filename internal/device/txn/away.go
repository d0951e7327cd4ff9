package txn

import (
	"strconv"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// takeAway adds an away of what lies at a physical path.
func (b *builder) takeAway(path string, info disk.Info) error {
	at, err := b.area(path)
	if err != nil {
		return err
	}
	b.away[path] = len(b.ops)
	b.ops = append(b.ops, &op{Kind: opAway, Path: james.Path(path), Area: at, Name: strconv.Itoa(len(b.ops)), seen: info})
	b.view.set(path, node{})
	return nil
}

// removeDir adds an rmdir of a directory that exists. If something is seen to
// stay in it, the rmdir is tried all the same, as the packet's scripts may clear
// it, but the plan does not count on it.
func (b *builder) removeDir(path string, strict bool) error {
	was, err := b.metaOf(path)
	if err != nil {
		return err
	}
	at, err := b.area(path)
	if err != nil {
		return err
	}
	b.removed[path] = len(b.ops)
	b.ops = append(b.ops, &op{Kind: opRmdir, Path: james.Path(path), Area: at, Name: strconv.Itoa(len(b.ops)), Was: was, strict: strict})
	empty, err := b.view.empty(path)
	if empty {
		delete(b.ours, path)
		b.view.set(path, node{})
	}
	return err
}

// metaOf returns the metadata of what lies at a path on the disk.
func (b *builder) metaOf(path string) (*meta, error) {
	info, err := b.i.Disk.Lstat(path)
	if err != nil {
		return nil, err
	}
	xattrs, err := b.i.Disk.Xattrs(path)
	return &meta{james.Mode(info.Mode), info.UID, info.GID, info.Time, xattrs}, err
}

// area returns the index of the work area for a physical path: that of the mount
// of the nearest directory above it that exists.
func (b *builder) area(path string) (int, error) {
	dir := parent(path)
	at, ok := b.areaOf[dir]
	if ok {
		return at, nil
	}
	info, err := b.i.Disk.Lstat(dir)
	switch {
	case err == nil && info.IsDir():
		at, err = b.areaAt(dir)
	case err == nil || james.KindOf(err) == james.KindNotFound:
		at, err = b.area(dir)
	}
	if err == nil {
		b.areaOf[dir] = at
	}
	return at, err
}

// areaAt returns the index of the work area for what is in a directory that exists.
func (b *builder) areaAt(dir string) (int, error) {
	mount, err := b.i.Disk.Mount(dir)
	if err != nil {
		return 0, err
	}
	at, ok := b.mounts[mount]
	if !ok {
		top, err := b.i.Disk.MountTop(dir)
		if err != nil {
			return 0, err
		}
		info, err := b.i.Disk.Lstat(top)
		if err != nil {
			return 0, err
		}
		at = len(b.areas)
		b.mounts[mount] = at
		b.areas = append(b.areas, &area{Top: james.Path(top), Time: info.Time, Inode: info.Ino})
	}
	return at, nil
}
