package txn

import (
	"bufio"
	"io"
	"strconv"
	"strings"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// ids knows the users and groups of the install root.
type ids struct {
	d             *disk.Disk
	users, groups map[string]uint32 // nil until they are read
}

// maxIDs bounds what is read of a list of users or groups, in bytes.
const maxIDs = 16 << 20

func newIDs(d *disk.Disk) *ids { return &ids{d: d} }

// forget has the lists read again, as a script may have added to them.
func (i *ids) forget() { i.users, i.groups = nil, nil }

// owner returns the numbers of an entry's owner: those that the device has for
// its names, or else those of the archive. known reports whether every name that
// it has was found.
func (i *ids) owner(e *james.Entry) (uid, gid uint32, known bool) {
	if i.users == nil {
		i.users, i.groups = i.read("etc/passwd"), i.read("etc/group")
	}
	uid, gid, known = e.UID, e.GID, true
	if e.User != "" {
		if n, ok := i.users[e.User]; ok {
			uid = n
		} else {
			known = false
		}
	}
	if e.Group != "" {
		if n, ok := i.groups[e.Group]; ok {
			gid = n
		} else {
			known = false
		}
	}
	return uid, gid, known
}

// meta returns the metadata that an entry has on this device.
func (i *ids) meta(e *james.Entry) disk.Meta {
	uid, gid, _ := i.owner(e)
	return disk.Meta{Mode: uint32(e.Mode), UID: uid, GID: gid, Time: e.Time, Xattrs: e.Xattrs}
}

// read returns the names and numbers of a file such as /etc/passwd; none where
// it cannot be read. Of a name that is there twice the first counts.
func (i *ids) read(name string) map[string]uint32 {
	all := map[string]uint32{}
	path, err := i.d.Resolve(name, i.d)
	if err != nil {
		return all
	}
	file, err := i.d.OpenFile(path)
	if err != nil {
		return all
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxIDs))
	lines.Buffer(nil, 1<<20) // a group's line lists its members
	for lines.Scan() {
		fields := strings.SplitN(lines.Text(), ":", 4)
		if len(fields) < 4 {
			continue
		}
		if _, ok := all[fields[0]]; ok {
			continue
		}
		if n, err := strconv.ParseUint(fields[2], 10, 32); err == nil {
			all[fields[0]] = uint32(n)
		}
	}
	return all
}
