package disk

import "os"

// OpenSlowly opens a physical path as Linux before 5.6 has to.
func (d *Disk) OpenSlowly(path string) (*os.File, error) {
	fd, err := d.walkSlowly(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}
