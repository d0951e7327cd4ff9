package fleet

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// rubbish is what tells that there may be blobs to collect.
type rubbish struct {
	failed atomic.Uint64 // uploads that may have left something
	// What follows belongs to the collector.
	looked  time.Time // the last collection that came to its end; zero for none
	dropped uint64    // catalogue.dropped and failed, as they were then
	seen    uint64
	young   bool // there was something unused that was too new
}

// litter says that an upload may have left something.
func (f *Fleet) litter() { f.rubbish.failed.Add(1) }

// collect deletes the blobs that no packet refers to and that are older than
// Options.CollectAge, and what unfinished uploads left behind. It looks only when
// there may be any, or some time has passed: other processes leave things too.
//
// It never takes a blob from a packet:
//
//   - One that a packet in the store refers to is seen by the refresh just before
//     the blob would be deleted, whichever process added the packet. Manifests say
//     which contents a packet refers to; while one cannot be read, nothing is
//     deleted.
//   - One that an upload has committed and not yet put a packet to: the commit
//     makes the blob new, also where it was there already, so it is spared for
//     the whole of CollectAge. An upload that took half of that or more renews all
//     contents before it puts the packet, as the first of them may be old by then;
//     a row follows its blobs within moments. A content that is gone by then is
//     missed, and is got from the archive later; until then the packet is not
//     marked as having them.
//   - One that an upload renews between the look at its age and its deletion:
//     blob.Store.Expire looks and deletes as one, so the upload either keeps it or
//     finds it missing and stores it. On a database that has no such deletion a few
//     microseconds are left, and a jamesd whose clock is wrong by half of CollectAge
//     takes what is new for old: so the upload looks for its blobs once more after
//     its row is in the store, and where one is missing it fails, and says that
//     the packet is to be added again, which mends it. The same is done for any
//     packet whose blobs are found missing.
func (f *Fleet) collect(ctx context.Context) error {
	if err := f.refresh(ctx); err != nil {
		return err
	}
	now := f.o.Now()
	before := now.Add(-f.o.CollectAge)
	f.mu.Lock()
	f.cat.forget(before)
	dropped := f.cat.dropped
	f.mu.Unlock()
	r := &f.rubbish
	seen := r.failed.Load()
	if !r.looked.IsZero() && !r.young && dropped == r.dropped && seen == r.seen && now.Sub(r.looked) < f.o.SweepAge/4 {
		return nil
	}
	sum, err := f.collectUnused(ctx, before)
	if err != nil {
		return err
	}
	r.looked, r.dropped, r.seen, r.young = now, dropped, seen, sum.young
	return f.o.Blobs.Sweep(ctx, now.Add(-f.o.SweepAge))
}

// collectBatch is how many blobs are deleted while no upload can end.
const collectBatch = 64

// collectUnused deletes what is unused and old. Its memory does not depend on how
// much there is.
func (f *Fleet) collectUnused(ctx context.Context, before time.Time) (sum collected, err error) {
	u, err := f.used(ctx)
	if err != nil {
		return sum, err
	}
	var batch []blob.Listed
	for b, err := range f.o.Blobs.List(ctx) {
		if err != nil {
			return sum, err
		}
		switch {
		case u.has(b.Digest):
			continue
		case !b.Modified.Before(before):
			sum.young = true
			continue
		}
		if batch = append(batch, b); len(batch) == collectBatch {
			if err := f.deleteUnused(ctx, batch, before, u, &sum); err != nil {
				return sum, err
			}
			batch = batch[:0]
		}
	}
	err = f.deleteUnused(ctx, batch, before, u, &sum)
	if sum.count > 0 {
		f.o.Log.WithField("blobs", sum.count).WithField("bytes", sum.bytes).Info("unused blobs deleted")
	}
	return sum, err
}

// collected counts what was deleted, and says whether anything unused was too
// young.
type collected struct {
	count, bytes int64
	young        bool
}

// deleteUnused deletes those blobs that are still old and unused.
func (f *Fleet) deleteUnused(ctx context.Context, batch []blob.Listed, before time.Time, u *used, sum *collected) error {
	if len(batch) == 0 {
		return nil
	}
	f.uploads.Lock()
	defer f.uploads.Unlock()
	if f.holds > 0 {
		sum.young = true // another time
		return nil
	}
	if err := f.refresh(ctx); err != nil {
		return err
	}
	if err := f.mark(ctx, u); err != nil {
		return err
	}
	for _, b := range batch {
		if u.has(b.Digest) {
			continue
		}
		expired, err := f.o.Blobs.Expire(ctx, b.Digest, before)
		if err != nil {
			return err
		}
		if !expired {
			sum.young = true
			continue
		}
		sum.count++
		sum.bytes += b.Stored
	}
	return nil
}

// used returns the blobs that all packets need.
func (f *Fleet) used(ctx context.Context) (*used, error) {
	blobs := 0
	for _, p := range f.Packets() {
		blobs += p.Entries + 2
	}
	u := newUsed(blobs)
	return u, f.mark(ctx, u)
}

// mark adds what packets need that came since.
func (f *Fleet) mark(ctx context.Context, u *used) error {
	for _, p := range f.packetsBut(u.packets) {
		m, err := f.manifest(ctx, p)
		if err != nil {
			if there, failed := f.has(ctx, p); failed != nil || there {
				return err
			}
			continue // deleted meanwhile
		}
		u.addPacket(p, m)
	}
	return nil
}

// packetsBut returns the packets that are not among the known.
func (f *Fleet) packetsBut(known map[*james.Packet]struct{}) []*james.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*james.Packet
	for _, p := range f.cat.packets {
		if _, ok := known[p]; !ok {
			out = append(out, p)
		}
	}
	return out
}

// has reports whether the row is still what the store has.
func (f *Fleet) has(ctx context.Context, p *james.Packet) (bool, error) {
	if err := f.refresh(ctx); err != nil {
		return false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cat.digests[p.Digest] == p, nil
}
