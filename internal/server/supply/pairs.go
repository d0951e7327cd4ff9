package supply

import (
	"container/list"
	"context"
	"sync"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/pkg/james"
)

// pair is a packet that is on devices, and one that they want.
type pair struct{ old, new james.Digest }

// maxPairings bounds the pairs of packets whose pairings are kept in memory.
const maxPairings = 64

// pairings keeps which files of two packets are paired, of the pairs that were
// asked for last. It is shared and must not be changed.
type pairings struct {
	mu    sync.Mutex
	known map[pair]*list.Element
	order list.List // of *paired, the least recently used first
}

type paired struct {
	pair
	bases map[int][]int // by the place of a new file, those of its bases
}

func newPairings() *pairings { return &pairings{known: make(map[pair]*list.Element)} }

// get returns the bases of the files of p.new by their places. It fails with
// james.KindNotFound where one of the packets is not there.
func (s *Supply) pair(ctx context.Context, p pair) (bases map[int][]int, old, new *james.Manifest, err error) {
	if old, err = s.manifests.get(ctx, p.old); err != nil {
		return nil, nil, nil, err
	}
	if new, err = s.manifests.get(ctx, p.new); err != nil {
		return nil, nil, nil, err
	}
	if bases = s.pairings.find(p); bases == nil {
		bases = make(map[int][]int)
		for _, found := range delta.Pair(old.Entries, new.Entries) {
			bases[found.New] = found.Old
		}
		s.pairings.keep(&paired{p, bases})
	}
	return bases, old, new, nil
}

func (k *pairings) find(p pair) map[int][]int {
	k.mu.Lock()
	defer k.mu.Unlock()
	at := k.known[p]
	if at == nil {
		return nil
	}
	k.order.MoveToBack(at)
	return at.Value.(*paired).bases
}

func (k *pairings) keep(p *paired) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.known[p.pair] != nil {
		return
	}
	k.known[p.pair] = k.order.PushBack(p)
	if k.order.Len() > maxPairings {
		delete(k.known, k.order.Remove(k.order.Front()).(*paired).pair)
	}
}
