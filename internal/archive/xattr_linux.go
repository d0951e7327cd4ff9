package archive

import (
	"bytes"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// readXattrs returns the extended attributes that belong into a packet: those
// of users, and file capabilities. Others, such as SELinux labels, are the
// system's on which the file lies.
func readXattrs(f *os.File) (map[string]string, error) {
	fd := int(f.Fd())
	names, err := grow(func(buf []byte) (int, error) { return unix.Flistxattr(fd, buf) })
	if errors.Is(err, unix.ENOTSUP) || errors.Is(err, unix.ENOSYS) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	attrs := make(map[string]string)
	for raw := range bytes.SplitSeq(names, []byte{0}) {
		name := string(raw)
		if !strings.HasPrefix(name, "user.") && name != "security.capability" {
			continue
		}
		value, err := grow(func(buf []byte) (int, error) { return unix.Fgetxattr(fd, name, buf) })
		if err != nil {
			return nil, err
		}
		attrs[name] = string(value)
	}
	return attrs, nil
}

// grow calls read until the buffer is large enough for its answer.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	const largest = 64 << 10 // as Linux has it, for a value and for all names
	for size := 256; ; size = largest {
		buf := make([]byte, size)
		n, err := read(buf)
		if err == nil {
			return buf[:n], nil
		}
		if !errors.Is(err, unix.ERANGE) || size == largest {
			return nil, err
		}
	}
}
