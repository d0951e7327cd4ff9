package txn

import (
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// compare returns how what lies at path differs from an entry; failed says why it
// could not be looked at.
func (v *appVerifier) compare(k int, path string, info disk.Info, failed error) (james.ChangeKind, error) {
	e := &v.m.Entries[k]
	switch {
	case errors.Is(failed, os.ErrNotExist):
		return james.ChangedMissing, nil
	case errors.Is(failed, unix.EIO):
		return james.ChangedContent, nil
	case james.KindOf(failed) == james.KindConflict || james.KindOf(failed) == james.KindDenied && !errors.Is(failed, os.ErrPermission):
		return james.ChangedType, nil // a link in its directory's place leads in circles or out
	case failed != nil:
		return "", failed
	}
	if e.Type == james.TypeHardlink {
		return v.compareLink(k, path, info)
	}
	if info.Type != e.Type {
		return james.ChangedType, nil
	}
	if e.Type == james.TypeFile {
		v.links[e.Path] = &info
	}
	if changed, err := v.content(k, e, path, info); changed || err != nil {
		return james.ChangedContent, err
	}
	v.sound[k] = true
	return v.meta(k, e, path, info)
}

// compareLink compares a hard link. The file that it names comes first, unless
// its path is another packet's or what lies there is none.
func (v *appVerifier) compareLink(k int, path string, info disk.Info) (james.ChangeKind, error) {
	link := &v.m.Entries[k]
	e, _ := v.m.Entry(link.Link)
	if info.Type != james.TypeFile {
		return james.ChangedType, nil
	}
	named, err := v.named(link)
	if err != nil {
		return "", err
	}
	if named != nil && named.Dev == info.Dev && named.Ino == info.Ino {
		return "", nil
	}
	if changed, err := v.content(k, &e, path, info); changed || err != nil {
		return james.ChangedContent, err
	}
	v.sound[fileOf(v.m, k)] = true
	if named != nil {
		return james.ChangedLink, nil
	}
	v.links[link.Link] = &info
	return v.meta(k, &e, path, info)
}

// named returns what lies where the link's file is; nil where none is.
func (v *appVerifier) named(link *james.Entry) (*disk.Info, error) {
	if info := v.links[link.Link]; info != nil {
		return info, nil
	}
	path, err := v.view.locate(link.Link)
	if err != nil || v.anothers(path) {
		return nil, nil
	}
	info, err := v.i.Disk.Lstat(path)
	if err != nil || info.Type != james.TypeFile {
		return nil, nil
	}
	v.links[link.Link] = &info
	return &info, nil
}

// content reports whether what lies at path has other content than e, whose type
// it has. k is the index of the entry that is verified, which may be a link to e.
func (v *appVerifier) content(k int, e *james.Entry, path string, info disk.Info) (bool, error) {
	switch e.Type {
	case james.TypeSymlink:
		target, err := v.i.Disk.Readlink(path)
		return target != string(e.Target), err
	case james.TypeChar, james.TypeBlock:
		return info.Rdev != unix.Mkdev(e.Major, e.Minor), nil
	case james.TypeFile:
		changed, err := v.file(k, e, path, info)
		if changed {
			v.next.content[k] = true
		}
		return changed, err
	}
	return false, nil
}

func (v *appVerifier) file(k int, e *james.Entry, path string, info disk.Info) (bool, error) {
	if info.Size != e.Size {
		v.read(e.Size)
		return true, nil
	}
	if v.quick() {
		if changed, sure := v.guess(k, e, info); sure {
			v.read(e.Size)
			return changed, nil
		}
	}
	file, err := v.i.Disk.OpenFile(path)
	switch {
	case errors.Is(err, os.ErrPermission):
		return false, nil // its permissions, which are told, are not as they should be
	case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.EIO):
		return true, nil
	case err != nil:
		return false, err
	}
	defer file.Close()
	sum := sha256.New()
	before := v.done
	if _, err := io.Copy(sum, v.reading(file)); err != nil {
		if v.ctx.Err() != nil {
			return false, v.ctx.Err()
		}
		return true, nil // a file that cannot be read is damaged
	}
	v.done = before
	v.read(e.Size)
	return james.Digest(sum.Sum(nil)) != e.Digest, nil
}

// meta returns how the metadata of what lies at path differs from that of e. A
// directory that was there before any packet keeps its own.
func (v *appVerifier) meta(k int, e *james.Entry, path string, info disk.Info) (james.ChangeKind, error) {
	if e.Type == james.TypeDir && !v.ours[path] {
		return "", nil
	}
	plain, err := v.isPlain(path, info)
	if err != nil || plain {
		return "", err
	}
	want := v.ids.meta(e)
	if e.Type != james.TypeSymlink && info.Mode != want.Mode {
		return james.ChangedMode, nil
	}
	if v.i.Disk.Privileged() && (info.UID != want.UID || info.GID != want.GID) {
		return james.ChangedOwner, nil
	}
	if changed, err := v.xattrs(k, e, path, info); changed || err != nil {
		return james.ChangedXattrs, err
	}
	if e.Type == james.TypeDir {
		v.right[path] = true
	}
	return "", nil
}

// isPlain reports whether the file system has no owners and modes.
func (v *verifier) isPlain(path string, info disk.Info) (bool, error) {
	known, ok := v.plain[info.Dev]
	if ok {
		return known, nil
	}
	plain, err := v.i.Disk.Plain(parent(path))
	v.plain[info.Dev] = plain
	return plain, err
}

// capabilities are told where no packet has them: they give rights away.
const capabilities = "security.capability"

// xattrs reports whether extended attributes of e are missing or others, or
// whether it has capabilities that e has not. Others that were added, such as the
// labels of a security module, are the device's own.
func (v *appVerifier) xattrs(k int, e *james.Entry, path string, info disk.Info) (bool, error) {
	if len(e.Xattrs) == 0 && v.quick() && !v.touched(info) {
		v.next.capable[k] = v.memo != nil && v.memo.capable[k]
		return v.next.capable[k], nil
	}
	have, err := v.i.Disk.Xattrs(path)
	if err != nil {
		return false, ignore(err, os.ErrNotExist)
	}
	for name, value := range e.Xattrs {
		if v.i.Disk.Settable(name) && string(have[name]) != string(value) {
			return true, nil
		}
	}
	_, wanted := e.Xattrs[capabilities]
	_, there := have[capabilities]
	v.next.capable[k] = there && !wanted
	return v.next.capable[k], nil
}
