package agent

import (
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// SourceOptions says what a Source works with. All but Progress are required.
type SourceOptions struct {
	Server interface {
		Server
		// ArchiveOf describes the archive of a packet.
		ArchiveOf(ctx context.Context, packet james.Digest) (james.Archive, error)
	}
	// State is the directory for downloads, of nobody else.
	State *disk.Disk
	Log   logrus.FieldLogger
	// Progress, where set, is told how much of an archive has arrived, in bytes.
	Progress func(p *james.Packet, have int64)
}

// Source is where packets come from apart from the loop, by a download that is
// resumed as the agent's are. It is a txn.Source, also for packets of which only
// the digest, the name and the tags are known. It is not safe for concurrent use.
type Source struct {
	o        SourceOptions
	fetch    *fetcher
	archives map[james.Digest]james.Archive // by packet
}

// NewSource fails when the directory cannot be used.
func NewSource(o SourceOptions) (*Source, error) {
	st := &state{disk: o.State}
	if err := st.prepare(); err != nil {
		return nil, err
	}
	f := &fetcher{server: o.Server, state: st, log: o.Log, stall: defaultStall, progress: o.Progress,
		sup:   &supervisor{notify: func(string) {}, now: time.Now},
		pause: backoff{bodyFirst, bodyLimit, rand.Float64},
		sound: make(map[james.Digest]bool)}
	return &Source{o: o, fetch: f, archives: make(map[james.Digest]james.Archive)}, nil
}

// Manifest returns the manifest of a packet.
func (s *Source) Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	return s.fetch.Manifest(ctx, p)
}

// Missing returns how much of the archive is not there; nothing of one that was
// not asked for yet and whose size nobody has told.
func (s *Source) Missing(p *james.Packet) int64 {
	whole := *p
	if whole.Archive.Digest.IsZero() {
		whole.Archive = s.archives[p.Digest]
	}
	return s.fetch.Missing(&whole)
}

// Archive returns the archive of a packet, all of it and verified.
func (s *Source) Archive(ctx context.Context, p *james.Packet, use func(int64)) (io.ReadCloser, error) {
	whole := *p
	if whole.Archive.Digest.IsZero() {
		a, known := s.archives[p.Digest]
		if !known {
			var err error
			if a, err = s.o.Server.ArchiveOf(ctx, p.Digest); err != nil {
				return nil, err
			}
			s.archives[p.Digest] = a
		}
		whole.Archive = a
	}
	return s.fetch.Archive(ctx, &whole, use)
}
