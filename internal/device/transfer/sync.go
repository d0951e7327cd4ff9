package transfer

import (
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
)

// syncEvery is how many bytes a power cut may cost, in addition to what arrives
// while as many are written to the device; where they arrive faster, what arrives
// within syncPause.
const (
	syncEvery = 8 << 20
	syncPause = 250 * time.Millisecond
)

// syncer makes contents durable while others arrive.
type syncer struct {
	disk  *disk.Disk
	now   func() time.Time
	batch *disk.Batch // what was written since the last flush began
	bytes int64
	since time.Time // when the first of bytes was written

	flushing sync.WaitGroup
	mu       sync.Mutex
	err      error
}

// wrote notes that so many bytes were written to a file.
func (s *syncer) wrote(path string, n int64) error {
	if s.batch == nil {
		var err error
		if s.batch, err = s.disk.NewBatch(blobDir); err != nil {
			return err
		}
	}
	s.batch.Add(blobDir)
	s.batch.Add(path)
	now := s.now()
	if s.bytes == 0 {
		s.since = now
	}
	if s.bytes += n; s.bytes < syncEvery || now.Sub(s.since) < syncPause {
		return nil
	}
	return s.flush()
}

// flush begins to make durable what was written, when it is through with what was
// written before.
func (s *syncer) flush() error {
	s.flushing.Wait()
	if s.batch != nil {
		b := s.batch
		s.flushing.Go(func() {
			defer b.Close()
			if err := b.Flush(); err != nil {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.err = err
			}
		})
	}
	s.batch, s.bytes = nil, 0
	return s.failure()
}

func (s *syncer) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// end returns when nothing is written to the device any more. Who takes over what
// has come makes it durable with what it makes of it; if nobody does, all is.
func (s *syncer) end(takenOver bool) error {
	if !takenOver {
		_ = s.flush() // the failure is told below
	}
	s.flushing.Wait()
	if s.batch != nil {
		s.batch.Close()
		s.batch = nil
	}
	return s.failure()
}
