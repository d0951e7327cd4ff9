package backup

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

// Snapshotter is a store that can be written as a file while it is used. It calls
// do with all packets of one moment, and with the size in bytes of the file that holds
// everything of that moment and what writes it.
type Snapshotter interface {
	Snapshot(ctx context.Context, do func(packets []*james.Packet, size int64, file io.WriterTo) error) error
}

// Source is what a backup is made of.
type Source struct {
	Store Snapshotter
	Blobs blob.Store
	// Hold keeps blobs from being collected until release is called.
	Hold func() (release func())
	Now  func() time.Time
}

// Write writes a backup to w. A blob that cannot be read is left out and counted; what
// is not the blob's own fault fails it, and so does w. What was written then has no
// end, and Read refuses it.
func Write(ctx context.Context, w io.Writer, s Source) (Summary, error) {
	release := s.Hold()
	defer release()
	out := &refused{Writer: w}
	packed, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return Summary{}, err
	}
	b := &writer{Source: s, tar: tar.NewWriter(packed), sum: Summary{Created: s.Now().UTC()}}
	err = b.write(ctx)
	if err == nil {
		err = b.tar.Close()
	}
	err = errors.Join(err, packed.Close())
	return b.sum, out.or(err)
}

// writer is one backup on its way out.
type writer struct {
	Source
	tar *tar.Writer
	sum Summary
}

func (b *writer) write(ctx context.Context) error {
	if err := b.note(nameHead, head{formVersion, b.sum.Created, version.String()}); err != nil {
		return err
	}
	var packets []*james.Packet
	err := b.Store.Snapshot(ctx, func(all []*james.Packet, size int64, file io.WriterTo) error {
		packets = all
		if err := b.header(nameDatabase, size); err != nil {
			return err
		}
		_, err := file.WriteTo(b.tar)
		return err
	})
	if err != nil {
		return err
	}
	b.sum.Packets = len(packets)
	damaged := func(p *james.Packet, _ error) { err = errors.Join(err, b.damaged(p.Digest)) }
	each := fleet.EachNeeded(ctx, b.Blobs, packets, damaged, func(n fleet.Blob) error { return b.blob(ctx, n) })
	if err := errors.Join(each, err); err != nil {
		return err
	}
	return b.note(nameEnd, b.sum)
}

func (b *writer) header(name string, size int64) error {
	return b.tar.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: b.sum.Created, Format: tar.FormatPAX})
}

// note writes v as a file.
func (b *writer) note(name string, v any) error {
	raw, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	if err := b.header(name, int64(len(raw)+1)); err != nil {
		return err
	}
	_, err = b.tar.Write(append(raw, '\n'))
	return err
}

// damaged says that a blob could not be read.
func (b *writer) damaged(d james.Digest) error {
	b.sum.Damaged++
	return b.header(dirDamaged+"/"+d.String(), 0)
}

// blob writes one that packets need.
func (b *writer) blob(ctx context.Context, n fleet.Blob) error {
	r, err := b.Blobs.Open(ctx, n.Digest)
	if lost(err) {
		return b.damaged(n.Digest)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	if err := b.header(dirs[n.Part]+"/"+n.Digest.String(), r.Size()); err != nil {
		return err
	}
	sum := blob.NewSum()
	done, err := io.Copy(b.tar, io.TeeReader(r, adder{sum}))
	if lost(err) {
		_, err = io.CopyN(b.tar, zeros{}, r.Size()-done) // or the archive would end here
		return errors.Join(err, b.damaged(n.Digest))
	}
	if err != nil {
		return err
	}
	if _, err := sum.Info(n.Digest); err != nil {
		return b.damaged(n.Digest)
	}
	b.sum.Blobs++
	b.sum.Bytes += done
	return nil
}

// lost reports whether an error says that a blob is gone or damaged.
func lost(err error) bool {
	kind := james.KindOf(err)
	return kind == james.KindCorrupt || kind == james.KindNotFound
}

type adder struct{ sum *blob.Sum }

func (a adder) Write(p []byte) (int, error) {
	a.sum.Add(p)
	return len(p), nil
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
