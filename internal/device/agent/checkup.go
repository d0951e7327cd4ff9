package agent

import (
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path"
	"strings"

	"github.com/trusch/jamesd/internal/device/disk"
)

// Checkup is what Check has found.
type Checkup struct {
	Downloads int // archives, also such as are not complete
	Pending   int // reports that the server has not got
	// Memory is what is wrong with the file MemoryFile, nil for nothing.
	Memory error
	// Damaged are the downloads, by their path in the directory, that are not what
	// their name says.
	Damaged []string
}

// Check looks through the agent's own directory and changes nothing. It may be
// called while an agent runs. An error says that something cannot be read.
func Check(d *disk.Disk) (*Checkup, error) {
	c := &Checkup{}
	raw, err := d.ReadFile(MemoryFile, maxMemory)
	if err == nil {
		var m Memory
		if m, c.Memory = DecodeMemory(raw); c.Memory == nil {
			c.Pending = len(m.Pending)
		}
	} else if !errors.Is(err, os.ErrNotExist) {
		c.Memory = err
	}
	s := &state{disk: d}
	for _, name := range s.list(archiveDir) {
		c.Downloads++
		whole, err := s.whole(name)
		if err != nil {
			return nil, err
		}
		if !whole {
			c.Damaged = append(c.Damaged, name)
		}
	}
	return c, nil
}

// whole reports whether a download is what its name says; of one that is not
// complete or is gone meanwhile nothing can be told.
func (s *state) whole(name string) (bool, error) {
	base := path.Base(name)
	if strings.HasSuffix(base, ".part") {
		return true, nil
	}
	sum, n, err := s.sum(name, math.MaxInt64-1)
	if err != nil || n == 0 && s.size(name) < 0 {
		return err == nil, err
	}
	return hex.EncodeToString(sum.Sum(nil)) == base, nil
}
