package fleet

import (
	"context"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// collect deletes the blobs that no packet refers to and that are older than
// Options.CollectAge, and what unfinished uploads left behind.
//
// It never takes a blob from a packet:
//
//   - One that a packet in the store refers to is seen by the refresh just before
//     the blob would be deleted, whichever process added the packet.
//   - One that an upload has committed and not yet put a packet to: the commit
//     makes the blob new, also where it was there already, so it is spared for
//     the whole of CollectAge; a row follows its blobs within moments.
//   - An upload that commits an old, unused blob between the look at its age and
//     its deletion: in this process Fleet.uploads keeps the two apart. In
//     another, these few milliseconds are all there is, and the upload looks for
//     its blobs once more after its row is in the store: where one is missing it
//     fails, and says that the packet is to be added again, which mends it. The
//     same is done for any packet whose blobs are found missing.
func (f *Fleet) collect(ctx context.Context) error {
	if err := f.refresh(ctx); err != nil {
		return err
	}
	now := f.o.Now()
	before := now.Add(-f.o.CollectAge)
	old, err := f.unused(ctx, before)
	if err != nil {
		return err
	}
	var count, size int64
	for _, info := range old {
		deleted, err := f.deleteUnused(ctx, info.Digest, before)
		if err != nil {
			return err
		}
		if deleted {
			count++
			size += info.Stored
		}
	}
	if count > 0 {
		f.o.Log.WithField("blobs", count).WithField("bytes", size).Info("unused blobs deleted")
	}
	f.mu.Lock()
	f.cat.forget(before)
	f.mu.Unlock()
	return f.o.Blobs.Sweep(ctx, now.Add(-f.o.SweepAge))
}

// unused lists what might be deleted.
func (f *Fleet) unused(ctx context.Context, before time.Time) ([]blob.Listed, error) {
	var out []blob.Listed
	for info, err := range f.o.Blobs.List(ctx) {
		if err != nil {
			return nil, err
		}
		if info.Modified.Before(before) && !f.refers(info.Digest) {
			out = append(out, info)
		}
	}
	return out, nil
}

func (f *Fleet) refers(d james.Digest) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cat.refers(d)
}

// deleteUnused deletes the blob if it is still old and unused.
func (f *Fleet) deleteUnused(ctx context.Context, d james.Digest, before time.Time) (bool, error) {
	f.uploads.Lock()
	defer f.uploads.Unlock()
	info, err := f.o.Blobs.Stat(ctx, d)
	switch kind := james.KindOf(err); {
	case kind == james.KindNotFound:
		return false, nil
	case kind == james.KindCorrupt: // nobody needs it, so nobody is served by keeping it
	case err != nil:
		return false, err
	case !info.Modified.Before(before):
		return false, nil
	}
	if err := f.refresh(ctx); err != nil {
		return false, err
	}
	if f.refers(d) {
		return false, nil
	}
	err = f.o.Blobs.Delete(ctx, d)
	return err == nil, err
}
