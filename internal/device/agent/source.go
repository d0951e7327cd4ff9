package agent

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/throttle"
	"github.com/trusch/jamesd/internal/device/txn"
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
	// MaxRate is how many bytes a second are downloaded at most; 0 for no limit.
	MaxRate int64
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
		throttle: throttle.New(o.MaxRate).Wait, expect: func(time.Duration) {}, status: func(string, ...any) {},
		pause: backoff{bodyFirst, bodyLimit, rand.Float64},
		sound: make(map[james.Digest]bool), contents: make(map[james.Digest]string)}
	return &Source{o: o, fetch: f, archives: make(map[james.Digest]james.Archive)}, nil
}

// Manifest returns the manifest of a packet.
func (s *Source) Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	return s.fetch.Manifest(ctx, p)
}

// Dir is as in txn.Source.
func (s *Source) Dir() *disk.Disk { return s.fetch.Dir() }

// Missing is as in txn.Source, but for archives whose size nobody has told yet.
func (s *Source) Missing(o *txn.Order) int64 { return s.fetch.Missing(s.complete(o)) }

// Fetch is as in txn.Source.
func (s *Source) Fetch(ctx context.Context, o *txn.Order) error {
	for _, w := range o.Wants {
		if _, known := s.archives[w.Packet.Digest]; known || !w.Packet.Archive.Digest.IsZero() {
			continue
		}
		a, err := s.o.Server.ArchiveOf(ctx, w.Packet.Digest)
		if err != nil {
			return err
		}
		s.archives[w.Packet.Digest] = a
	}
	return s.fetch.Fetch(ctx, s.complete(o))
}

// complete returns the order with what is known of archives.
func (s *Source) complete(o *txn.Order) *txn.Order {
	out := *o
	out.Wants = slices.Clone(o.Wants)
	for n := range out.Wants {
		if w := &out.Wants[n]; w.Packet.Archive.Digest.IsZero() {
			whole := *w.Packet
			whole.Archive = s.archives[whole.Digest]
			w.Packet = &whole
		}
	}
	return &out
}

// Content is as in txn.Source.
func (s *Source) Content(d james.Digest) (string, error) { return s.fetch.Content(d) }

// Forget is as in txn.Source.
func (s *Source) Forget(contents []james.Digest) { s.fetch.Forget(contents) }
