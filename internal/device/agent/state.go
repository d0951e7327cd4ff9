package agent

import "github.com/trusch/jamesd/internal/device/disk"

// state is the agent's part of the state directory.
type state struct {
	disk *disk.Disk
}

// read returns a file of at most limit bytes.
func (s *state) read(name string, limit int64) ([]byte, error) { return s.disk.ReadFile(name, limit) }

// write makes raw the content of a file in one step.
func (s *state) write(name string, raw []byte) error { return s.disk.Replace(name, raw, 0o600) }
