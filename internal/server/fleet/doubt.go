package fleet

import (
	"context"
	"io"

	"github.com/trusch/jamesd/internal/server/blob"
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
	if err := f.unmark(ctx, p); err != nil {
		return err
	}
	f.unpackSoon()
	return nil
}

// unmark has a packet count as one that does not have its contents.
func (f *Fleet) unmark(ctx context.Context, p *james.Packet) error {
	_, err := f.savePacket(ctx, store.PacketKey(p.Name, p.Tags), func(old *james.Packet) (*james.Packet, error) {
		if old == nil || old.Digest != p.Digest {
			return old, nil
		}
		marked := *old
		marked.Contents = false
		return &marked, nil
	})
	return err
}

// sound reports whether a blob reads as what it is.
func (f *Fleet) sound(ctx context.Context, d james.Digest) (bool, error) {
	what, err := f.fault(ctx, d, func(int64) {})
	return what == "" && err == nil, err
}

// fault says what is wrong with a blob, "" for one that reads as what it is. read is
// told of the bytes that were read.
func (f *Fleet) fault(ctx context.Context, d james.Digest, read func(more int64)) (string, error) {
	r, err := f.o.Blobs.Open(ctx, d)
	if err == nil {
		defer r.Close()
		sum := blob.NewSum()
		if _, err = io.Copy(told{sum, read}, r); err == nil {
			_, err = sum.Info(d)
		}
	}
	switch james.KindOf(err) {
	case james.KindCorrupt, james.KindNotFound:
		return err.Error(), nil
	}
	return "", err
}

// told adds to a sum and tells how much.
type told struct {
	sum  *blob.Sum
	read func(more int64)
}

func (t told) Write(p []byte) (int, error) {
	t.sum.Add(p)
	t.read(int64(len(p)))
	return len(p), nil
}

// dropUnsound removes those of the blobs that do not read as what they are, and
// reports whether there were any: what is there is not stored again. No upload that
// ends meanwhile counts on them.
func (f *Fleet) dropUnsound(ctx context.Context, digests ...james.Digest) (dropped bool, err error) {
	for _, d := range digests {
		sound, err := f.sound(ctx, d)
		if err == nil && !sound {
			dropped, err = true, f.drop(ctx, d)
		}
		if err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

func (f *Fleet) drop(ctx context.Context, d james.Digest) error {
	f.uploads.Lock()
	defer f.uploads.Unlock()
	return f.o.Blobs.Delete(ctx, d)
}
