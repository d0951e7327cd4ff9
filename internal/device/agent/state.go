package agent

import (
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// state is the agent's part of the state directory: its memory, and what it has
// fetched.
type state struct {
	disk *disk.Disk
}

// prepare makes the directories.
func (s *state) prepare() error {
	for _, dir := range []string{manifestDir, archiveDir, contentDir} {
		if err := s.disk.MkdirAll(dir, 0o700); err != nil {
			return err
		}
	}
	return nil
}

// read returns a file of at most limit bytes.
func (s *state) read(name string, limit int64) ([]byte, error) { return s.disk.ReadFile(name, limit) }

// write makes raw the content of a file in one step.
func (s *state) write(name string, raw []byte) error { return s.disk.Replace(name, raw, 0o600) }

// size returns the length of a file, -1 where it does not exist.
func (s *state) size(name string) int64 {
	info, err := s.disk.Lstat(name)
	if err != nil {
		return -1
	}
	return info.Size
}

// sum hashes a file from its beginning, but no more than limit bytes and one, so
// that n tells whether it has more. A file that does not exist is empty.
func (s *state) sum(name string, limit int64) (sum hash.Hash, n int64, err error) {
	sum = sha256.New()
	file, err := s.disk.OpenFile(name)
	if errors.Is(err, os.ErrNotExist) {
		return sum, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer file.Close()
	n, err = io.Copy(sum, io.LimitReader(file, limit+1))
	if err != nil {
		return nil, 0, james.Errorf(james.KindCorrupt, file.Name(), "%w", err)
	}
	return sum, n, nil
}

// remove removes a file, if it can.
func (s *state) remove(name string) { _ = s.disk.RemoveAll(name) }

// list returns the files of a directory by their names in the state directory.
func (s *state) list(dir string) []string {
	names, err := s.disk.ReadDir(dir)
	if err != nil {
		return nil
	}
	for i, name := range names {
		names[i] = dir + "/" + name
	}
	return names
}

// finish gives a complete part file its name, for good.
func (s *state) finish(part, name string) error {
	if err := s.disk.Rename(part, name); err != nil {
		return err
	}
	return s.disk.Fsync(archiveDir)
}
