package supply

import (
	"container/list"
	"context"
	"sync"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// maxManifests bounds the manifests that are kept in memory, in bytes of their
// encoding; one alone may be larger.
const maxManifests = 64 << 20

// manifests keeps the manifests that were asked for last. Those that it returns
// are shared and must not be changed.
type manifests struct {
	fleet   *fleet.Fleet
	limit   int64
	reading chan struct{} // holds an element while one is read: a manifest may take much memory

	mu    sync.Mutex
	known map[james.Digest]*list.Element
	order list.List // of *kept, the least recently used first
	used  int64
}

type kept struct {
	manifest *james.Manifest
	digest   james.Digest
	size     int64
}

func newManifests(f *fleet.Fleet) *manifests {
	return &manifests{fleet: f, limit: maxManifests, reading: make(chan struct{}, 1), known: make(map[james.Digest]*list.Element)}
}

// get returns the manifest of a packet. It fails with james.KindNotFound where
// there is no such packet any more, whatever is kept.
func (m *manifests) get(ctx context.Context, d james.Digest) (*james.Manifest, error) {
	if _, err := m.fleet.Packet(d); err != nil {
		return nil, err
	}
	if found := m.find(d); found != nil {
		return found, nil
	}
	select {
	case m.reading <- struct{}{}:
		defer func() { <-m.reading }()
	case <-ctx.Done():
		return nil, james.Errorf(james.KindInterrupted, "packet "+d.Short(), "%w", context.Cause(ctx))
	}
	if found := m.find(d); found != nil {
		return found, nil
	}
	return m.read(ctx, d)
}

func (m *manifests) find(d james.Digest) *james.Manifest {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := m.known[d]
	if at == nil {
		return nil
	}
	m.order.MoveToBack(at)
	return at.Value.(*kept).manifest
}

func (m *manifests) read(ctx context.Context, d james.Digest) (*james.Manifest, error) {
	r, err := m.fleet.OpenManifest(ctx, d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	manifest, err := james.DecodeManifest(r, d)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known[d] = m.order.PushBack(&kept{manifest, d, r.Size()})
	m.used += r.Size()
	for m.used > m.limit && m.order.Len() > 1 {
		oldest := m.order.Remove(m.order.Front()).(*kept)
		delete(m.known, oldest.digest)
		m.used -= oldest.size
	}
	return manifest, nil
}
