package ctl

import (
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"

	"github.com/trusch/jamesd/pkg/james"
)

// writeFile lets write make the content of a file, which appears, or replaces
// one of its name, only when it is complete. The name "-" stands for the
// standard output; a device or a pipe is written as it is.
func (p *program) writeFile(file string, write func(w io.Writer) error) error {
	if file == "-" {
		return write(p.out)
	}
	info, err := os.Stat(file)
	switch {
	case err == nil && info.IsDir():
		return james.Errorf(james.KindInvalid, file, "is a directory, a file is wanted")
	case err == nil && !info.Mode().IsRegular():
		return writeTo(file, file, os.O_WRONLY, write)
	}
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+"."+rand.Text()[:8])
	defer os.Remove(tmp)
	if err := writeTo(tmp, file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, write); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return fileError(file, err)
	}
	return nil
}

// writeTo writes to the file that there is for as long as it is written, in place
// of file, which errors name.
func writeTo(place, file string, flag int, write func(w io.Writer) error) error {
	f, err := os.OpenFile(place, flag, 0o666)
	if err != nil {
		return fileError(where(place, file), err)
	}
	defer f.Close()
	if err := write(f); err != nil {
		var e *os.PathError
		if errors.As(err, &e) && james.KindOf(err) == james.KindInternal {
			return unwritable(file, err)
		}
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Sync(); err != nil {
			return unwritable(file, err)
		}
	}
	if err := f.Close(); err != nil {
		return unwritable(file, err)
	}
	return nil
}

// where returns what an error of opening place is about: the directory, if place
// is a new file that stands for another.
func where(place, file string) string {
	if place == file {
		return file
	}
	return filepath.Dir(file)
}

// unwritable is about a file that could be opened: the disk is full, or fails.
func unwritable(file string, err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	return james.Errorf(james.KindUnavailable, file, "%w", err)
}

// fileError names the file once.
func fileError(file string, err error) error {
	kind := james.KindInvalid
	var p *os.PathError
	switch {
	case errors.Is(err, os.ErrNotExist):
		return james.Errorf(kind, file, "there is no such file")
	case errors.As(err, &p):
		err = p.Err
	}
	return james.Errorf(kind, file, "%w", err)
}
