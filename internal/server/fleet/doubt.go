package fleet

import (
	"context"
	"crypto/sha256"
	"io"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Doubt says that the content of a file of a packet could not be read, or read as
// something else. Where that is so the packet is marked as not having its contents,
// until they were taken from its archive once more. A content that is sound after all
// stays, and so does one of which that cannot be found out.
func (f *Fleet) Doubt(ctx context.Context, packet, content james.Digest) error {
	p := f.Known(packet)
	if p == nil || !p.Contents {
		return nil
	}
	sound, err := f.sound(ctx, content)
	if err != nil || sound {
		return err
	}
	f.o.Log.WithField("packet", p.App().String()).WithField("blob", content.Short()).Warn("a content is damaged, it is taken from the archive again")
	_, err = f.savePacket(ctx, store.PacketKey(p.Name, p.Tags), func(old *james.Packet) (*james.Packet, error) {
		if old == nil || old.Digest != p.Digest {
			return old, nil
		}
		marked := *old
		marked.Contents = false
		return &marked, nil
	})
	if err != nil {
		return err
	}
	f.unpackSoon()
	return nil
}

// sound reports whether the content of a file reads as what it is.
func (f *Fleet) sound(ctx context.Context, content james.Digest) (bool, error) {
	r, err := f.o.Blobs.Open(ctx, content)
	if err == nil {
		defer r.Close()
		sum := sha256.New()
		if _, err = io.Copy(sum, r); err == nil {
			return james.Digest(sum.Sum(nil)) == content, nil
		}
	}
	switch james.KindOf(err) {
	case james.KindCorrupt, james.KindNotFound:
		return false, nil
	}
	return false, err
}

// dropUnsound removes the contents that do not read as what they are: what is there is
// not stored again. No upload that ends meanwhile counts on them.
func (f *Fleet) dropUnsound(ctx context.Context, contents []james.Digest) error {
	for _, d := range contents {
		sound, err := f.sound(ctx, d)
		if err == nil && !sound {
			err = f.dropContent(ctx, d)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) dropContent(ctx context.Context, d james.Digest) error {
	f.uploads.Lock()
	defer f.uploads.Unlock()
	return f.o.Blobs.Delete(ctx, d)
}
