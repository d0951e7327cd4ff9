package fleet

import (
	"context"
	"io"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// unpackSoon says that there is a packet without its contents.
func (f *Fleet) unpackSoon() {
	select {
	case f.unpacks <- struct{}{}:
	default:
	}
}

// unpackAlways keeps the contents of packets that came before the contents of
// files were kept, or whose contents were lost or damaged, from their archives: now,
// whenever there is reason to, and where that failed after a while. It goes on after
// a restart where it was.
func (f *Fleet) unpackAlways(ctx context.Context) {
	ticker := time.NewTicker(f.o.CollectInterval)
	defer ticker.Stop()
	for ctx.Err() == nil {
		f.unpack(ctx)
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-f.unpacks:
		}
	}
}

// progressInterval is the time between two messages of how far it is.
const progressInterval = 30 * time.Second

func (f *Fleet) unpack(ctx context.Context) {
	todo := f.packed()
	if len(todo) == 0 {
		return
	}
	log := f.o.Log.WithField("packets", len(todo))
	log.Info("keeping the contents of packets that have only their archive")
	told, failed := f.o.Now(), 0
	for i, p := range todo {
		err := f.unpackOne(ctx, p)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			failed++
			log.WithField("packet", p.App().String()).WithField("kind", james.KindOf(err)).WithError(err).Warn("the contents of a packet cannot be kept")
		}
		if now := f.o.Now(); now.Sub(told) >= progressInterval {
			told = now
			log.WithField("done", i+1).Info("keeping the contents of packets")
		}
	}
	log.WithField("failed", failed).Info("the contents of packets are kept")
}

// packed returns the packets that are not marked as having their contents, in any
// order: several jamesd that begin together do not all begin with the same.
func (f *Fleet) packed() []*james.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []*james.Packet
	for _, p := range f.cat.packets {
		if !p.Contents {
			out = append(out, p)
		}
	}
	return out
}

// unpackOne keeps the contents of a packet and marks it. Nothing is wrong with one
// that has gone, or that somebody else has marked.
func (f *Fleet) unpackOne(ctx context.Context, p *james.Packet) error {
	if there, err := f.has(ctx, p); err != nil || !there {
		return err
	}
	m, err := f.manifest(ctx, p)
	if err != nil {
		return err
	}
	if _, err := f.dropUnsound(ctx, contentsOf(m.Entries)...); err != nil {
		return err
	}
	began := f.o.Now()
	if err := f.keepContents(ctx, p, m); err != nil {
		return err
	}
	f.uploads.RLock()
	defer f.uploads.RUnlock()
	missing, err := f.spare(ctx, contentsOf(m.Entries), began)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return james.Errorf(james.KindInterrupted, "contents of "+p.App().String(), "%d of them were deleted as unused while others were kept", len(missing))
	}
	_, err = f.savePacket(ctx, store.PacketKey(p.Name, p.Tags), func(old *james.Packet) (*james.Packet, error) {
		if old == nil || old.Digest != p.Digest || old.Contents {
			return old, nil
		}
		marked := *old
		marked.Contents = true
		return &marked, nil
	})
	return err
}

func (f *Fleet) keepContents(ctx context.Context, p *james.Packet, m *james.Manifest) error {
	r, err := f.openBlob(ctx, p, "archive", p.Archive.Digest)
	if err != nil {
		return err
	}
	defer r.Close()
	k := newKeeper(ctx, f.o.Blobs)
	err = archive.Extract(ctx, r, m, func(e *james.Entry, content io.Reader) error { return k.take(e, content) })
	if failed := k.finish(err); err == nil {
		err = failed
	}
	return err
}
