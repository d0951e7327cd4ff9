//go:build unix

package archive

import (
	"io/fs"
	"syscall"
)

func statOf(info fs.FileInfo) fileStat {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileStat{}
	}
	// The fields have other types on other systems.
	return fileStat{
		inode: inode{uint64(st.Dev), uint64(st.Ino)},
		links: uint64(st.Nlink), uid: int(st.Uid), gid: int(st.Gid),
	}
}
