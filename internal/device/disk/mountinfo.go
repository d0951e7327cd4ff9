package disk

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// maxMountInfo bounds what is read of the list of mounts, in bytes.
const maxMountInfo = 16 << 20

// LocalMounts returns the directories of the disk at which file systems are
// mounted, the disk's own among them as ".", as far as the system tells. Those
// are left out that a look at could wait for, such as those on a network, and
// those that hold no files of anybody. A directory may be hidden by a mount above
// it, or be gone.
func (d *Disk) LocalMounts() []string {
	tops := []string{"."}
	file, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return tops // without /proc only the root is known
	}
	defer file.Close()
	lines := bufio.NewScanner(io.LimitReader(file, maxMountInfo))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		at, local := parseMount(lines.Text())
		rel, err := filepath.Rel(d.root, at)
		if !local || err != nil {
			continue
		}
		if _, err := james.ParsePath(rel); err == nil && rel != "." {
			tops = append(tops, rel)
		}
	}
	slices.Sort(tops)
	return slices.Compact(tops)
}

// parseMount returns where a line of mountinfo says that something is mounted,
// and whether that is a local file system: one on a block device, or one of
// those that keep files without one.
func parseMount(line string) (at string, local bool) {
	fields, rest, ok := strings.Cut(line, " - ")
	f, r := strings.Fields(fields), strings.Fields(rest)
	if !ok || len(f) < 5 || len(r) < 1 {
		return "", false
	}
	major, _, _ := strings.Cut(f[2], ":")
	onDevice := major != "0" && !strings.HasPrefix(r[0], "fuse")
	without := []string{"tmpfs", "ramfs", "overlay", "btrfs", "bcachefs", "zfs", "ubifs", "jffs2", "aufs"}
	return unescape(f[4]), onDevice || slices.Contains(without, r[0])
}

// unescape undoes how mountinfo writes spaces and the like, as three octal digits.
func unescape(s string) string {
	var out strings.Builder
	for len(s) > 0 {
		if s[0] == '\\' && len(s) >= 4 {
			if c, err := strconv.ParseUint(s[1:4], 8, 8); err == nil {
				out.WriteByte(byte(c))
				s = s[4:]
				continue
			}
		}
		out.WriteByte(s[0])
		s = s[1:]
	}
	return out.String()
}
