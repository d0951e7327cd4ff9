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
		return writeTo(file, os.O_WRONLY, write)
	}
	tmp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+"."+rand.Text()[:8])
	defer os.Remove(tmp)
	if err := writeTo(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, write); err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return fileError(file, err)
	}
	return nil
}

func writeTo(file string, flag int, write func(w io.Writer) error) error {
	f, err := os.OpenFile(file, flag, 0o666)
	if err != nil {
		return fileError(filepath.Dir(file), err)
	}
	defer f.Close()
	if err := write(f); err != nil {
		var e *os.PathError
		if errors.As(err, &e) && james.KindOf(err) == james.KindInternal {
			return fileError(filepath.Dir(file), err)
		}
		return err
	}
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		if err := f.Sync(); err != nil {
			return fileError(filepath.Dir(file), err)
		}
	}
	if err := f.Close(); err != nil {
		return fileError(filepath.Dir(file), err)
	}
	return nil
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
