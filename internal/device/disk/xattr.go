package disk

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/pkg/james"
)

// Xattrs returns the extended attributes of what lies at path. It is empty where
// the file system has none.
func (d *Disk) Xattrs(path string) (all map[string][]byte, err error) {
	err = d.byName(path, func(name string) error {
		all, err = listXattrs(name)
		return err
	})
	return all, failure(d.Abs(path), err)
}

// byName calls act with a name of what lies at path for system calls that take
// no directory descriptor. It does not follow links on the way, as act must not.
func (d *Disk) byName(path string, act func(name string) error) error {
	return d.inDir(path, func(dir int, name string) error {
		proc := fmt.Sprintf("/proc/self/fd/%d", dir)
		if _, err := os.Stat(proc); err != nil { // no /proc is mounted
			return act(d.Abs(path))
		}
		return act(proc + "/" + name)
	})
}

func listXattrs(path string) (map[string][]byte, error) {
	size, err := unix.Llistxattr(path, nil)
	if err != nil || size == 0 {
		return nil, ignoreUnsupported(err)
	}
	list := make([]byte, size)
	if size, err = unix.Llistxattr(path, list); err != nil {
		return nil, err
	}
	all := map[string][]byte{}
	for attr := range strings.SplitSeq(strings.TrimRight(string(list[:size]), "\x00"), "\x00") {
		value, err := getXattr(path, attr)
		if err != nil {
			return nil, err
		}
		all[attr] = value
	}
	return all, nil
}

func getXattr(path, attr string) ([]byte, error) {
	buf := make([]byte, james.MaxXattr)
	n, err := unix.Lgetxattr(path, attr, buf)
	if err != nil {
		return nil, err
	}
	return slices.Clone(buf[:n]), nil
}

func ignoreUnsupported(err error) error {
	if errors.Is(err, unix.ENOTSUP) {
		return nil
	}
	return err
}

// Settable reports whether this process may set attr. What only the superuser
// may set, such as file capabilities, an agent of another user leaves out, as it
// leaves out owners.
func (d *Disk) Settable(attr string) bool {
	return d.Privileged() || !(strings.HasPrefix(attr, "security.") || strings.HasPrefix(attr, "trusted."))
}
