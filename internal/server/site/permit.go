package site

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// How long jamesd's word is good that a device may get a packet: for fresh without
// asking again, and for stale while jamesd cannot be asked. A plan that changes
// meanwhile takes nothing back that the device could not have fetched before.
const (
	fresh = 5 * time.Minute
	stale = time.Hour
	// maxPermits bounds what is remembered.
	maxPermits = 100_000
)

// permit is what was allowed: a device, and what it may get.
type permit struct {
	device string
	packet james.Digest
}

type permits struct {
	asked, denied atomic.Int64

	mu    sync.Mutex
	known map[permit]time.Time // when jamesd allowed it
}

// permit fails unless jamesd lets the device have the packet.
func (s *Site) permit(ctx context.Context, device string, packet james.Digest) error {
	now := s.o.Now()
	since, ok := s.permits.age(device, packet, now)
	if ok && since < fresh {
		return nil
	}
	s.permits.asked.Add(1)
	err := s.link.note(s.o.Central(device).MayFetch(ctx, packet))
	switch kind := james.KindOf(err); {
	case err == nil:
		s.permits.grant(device, packet, s.o.Now())
	case kind.Retryable() && ok && since < stale && ctx.Err() == nil:
		return nil
	case !kind.Retryable():
		s.permits.denied.Add(1)
		s.permits.revoke(device, packet)
	}
	return err
}

// age returns how long ago jamesd allowed something, and whether it did.
func (p *permits) age(device string, packet james.Digest, now time.Time) (time.Duration, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, ok := p.known[permit{device, packet}]
	return now.Sub(at), ok && !at.After(now)
}

func (p *permits) grant(device string, packet james.Digest, now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.known) >= maxPermits {
		p.tidy(now)
	}
	p.known[permit{device, packet}] = now
}

// tidy forgets what is old, and where that is not enough, everything: it is asked
// for again; p.mu is held.
func (p *permits) tidy(now time.Time) {
	for k, at := range p.known {
		if now.Sub(at) >= fresh {
			delete(p.known, k)
		}
	}
	if len(p.known) >= maxPermits {
		clear(p.known)
	}
}

func (p *permits) revoke(device string, packet james.Digest) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.known, permit{device, packet})
}
