package load

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"time"
)

// Entry is one path of a packet.
type Entry struct {
	Path     string
	Mode     fs.FileMode // with the type; a hard link has the mode of a file and Link
	UID, GID int
	Time     time.Time
	Content  []byte
	Target   string // of a symbolic link
	Link     string // path of the entry that this is another name of
	Xattrs   map[string][]byte
	Sparse   bool
}

// sparseSize is the size from which it is looked whether a file has holes, in
// bytes: below it a file system may keep a block or two more than needed.
const sparseSize = 1 << 20

// begin is the time of the oldest file.
var begin = time.Date(2021, 3, 4, 5, 6, 7, 0, time.UTC)

func file(path, seed string, size int) Entry {
	return Entry{Path: path, Mode: 0o644, Content: content(seed, size)}
}

func dir(path string) Entry { return Entry{Path: path, Mode: fs.ModeDir | 0o755} }

func symlink(path, target string) Entry {
	return Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Target: target}
}

func hardlink(path, to string) Entry { return Entry{Path: path, Link: to} }

func (e Entry) mode(m fs.FileMode) Entry { e.Mode = e.Mode&fs.ModeType | m; return e }

func (e Entry) owner(uid, gid int) Entry { e.UID, e.GID = uid, gid; return e }

func (e Entry) xattr(name, value string) Entry {
	e.Xattrs = map[string][]byte{name: []byte(value)}
	return e
}

// content returns bytes that are the same for the same seed, half of which
// repeat what is before them, and none of which is zero for long.
func content(seed string, size int) []byte {
	const chunk = 256
	b := make([]byte, size)
	rnd := rand.NewChaCha8(sha256.Sum256([]byte(seed)))
	for at := 0; at < size; at += chunk {
		end := min(at+chunk, size)
		if at/chunk%2 == 1 {
			copy(b[at:end], b[at-chunk:])
			continue
		}
		rnd.Read(b[at:end])
	}
	return b
}

// holey returns mostly zeros, with a little content here and there.
func holey(seed string, size int) []byte {
	b := make([]byte, size)
	for at := 0; at+5000 < size; at += size / 3 {
		copy(b[at:], content(fmt.Sprint(seed, at), 5000))
	}
	return b
}

// node is what the installed entry must be; all are the entries of its packet.
func (e Entry) node(all map[string]Entry) Node {
	if e.Link != "" {
		n := all[e.Link].node(all)
		n.First = min(physical(e.Path), physical(e.Link))
		n.Links = 2
		return n
	}
	n := Node{Mode: e.Mode, Owner: fmt.Sprintf("%d:%d", e.UID, e.GID), Time: e.Time.UnixNano(), Target: e.Target, Xattrs: encodeXattrs(e.Xattrs)}
	if e.Mode.IsRegular() {
		sum := sha256.Sum256(e.Content)
		n.Size, n.Sum, n.Holes = int64(len(e.Content)), short(sum[:]), e.Sparse
	}
	for _, other := range all {
		if other.Link == e.Path {
			n.Links, n.First = 2, min(physical(e.Path), physical(other.Path))
		}
	}
	return n
}
