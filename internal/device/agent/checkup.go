package agent

import (
	"errors"
	"os"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/transfer"
)

// Checkup is what Check has found.
type Checkup struct {
	Contents int // of files that were fetched, also such as are not complete
	Pending  int // reports that the server has not got
	// Memory is what is wrong with the file MemoryFile, nil for nothing.
	Memory error
}

// Check looks through the agent's own directory and changes nothing. It may be
// called while an agent runs. An error says that something cannot be read. Contents
// are counted only: they are compared before they are used.
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
	c.Contents, err = transfer.Count(d)
	return c, err
}
