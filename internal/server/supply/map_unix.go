//go:build unix

package supply

import (
	"os"
	"syscall"
)

// mapped returns the bytes of a file, which may be closed then.
func mapped(f *os.File, size int64) (*loaded, error) {
	raw, err := syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return &loaded{raw, func() { syscall.Munmap(raw) }}, nil
}
