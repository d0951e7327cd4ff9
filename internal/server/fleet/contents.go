package fleet

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// What is under way of the large contents of an archive at a time. Many commits at
// once cost a disk little more than one.
const (
	contentsAtOnce = 16
	pieceSize      = 64 << 10
	pieces         = 128 // 8 MiB
)

// OpenContent returns the content of a file under its sha256. It fails with
// james.KindNotFound where it is not kept: not every packet's contents are, as
// james.Packet.Contents says. Who may ask for it is the caller's to know.
func (f *Fleet) OpenContent(ctx context.Context, d james.Digest) (blob.Reader, error) {
	return f.o.Blobs.Open(ctx, d)
}

// contentsOf returns the digests of all files, each once, in order.
func contentsOf(entries []james.Entry) []james.Digest {
	var out []james.Digest
	for i := range entries {
		if entries[i].Type == james.TypeFile {
			out = append(out, entries[i].Digest)
		}
	}
	slices.SortFunc(out, func(a, b james.Digest) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(out)
}

// spare returns which contents are missing of those that were stored since began. The
// others are not collected within the next half of CollectAge.
func (f *Fleet) spare(ctx context.Context, contents []james.Digest, began time.Time) (missing []james.Digest, err error) {
	if f.o.Now().Sub(began) < f.o.CollectAge/2 {
		return f.o.Blobs.Missing(ctx, contents)
	}
	return f.o.Blobs.Renew(ctx, contents)
}

// keeper stores contents while they are read one after the other: hashing,
// compressing and writing go on beside the reading. Small ones are put together. A
// content that is there already is renewed and not kept twice.
type keeper struct {
	blobs   blob.Store
	ctx     context.Context
	cancel  context.CancelCauseFunc
	slots   chan struct{} // one for each large content under way
	free    chan []byte   // pieces that nobody holds
	batches chan *batch   // that nobody holds
	filling *batch        // by who calls take; nil for none
	work    sync.WaitGroup
}

// newKeeper returns a keeper that ends with ctx. Its finish must be called.
func newKeeper(ctx context.Context, blobs blob.Store) *keeper {
	k := &keeper{blobs: blobs, slots: make(chan struct{}, contentsAtOnce), free: make(chan []byte, pieces), batches: make(chan *batch, batches)}
	k.ctx, k.cancel = context.WithCancelCause(ctx)
	for range pieces {
		k.free <- nil
	}
	for range batches {
		k.batches <- nil
	}
	return k
}

// take reads content to its end and returns, before it is stored. It returns the
// first failure of what was taken before, too.
func (k *keeper) take(e *james.Entry, content io.Reader) error {
	if e.Size <= smallContent {
		return k.takeSmall(int(e.Size), content)
	}
	select {
	case k.slots <- struct{}{}:
	case <-k.ctx.Done():
		return k.failure()
	}
	comes := make(chan []byte, pieces) // has room for all there are
	k.work.Go(func() {
		defer func() { <-k.slots }()
		if err := k.store(comes); err != nil {
			k.cancel(err)
		}
		for piece := range comes { // of a content that is there, or that failed
			k.free <- piece
		}
	})
	err := k.read(content, comes)
	if err != nil {
		k.cancel(err) // or else a part would be taken for the whole
	}
	close(comes)
	return err
}

// read sends content on, piece by piece.
func (k *keeper) read(content io.Reader, to chan<- []byte) error {
	for {
		var piece []byte
		select {
		case piece = <-k.free:
		case <-k.ctx.Done():
			return k.failure()
		}
		if piece == nil {
			piece = make([]byte, pieceSize)
		}
		n, err := io.ReadFull(content, piece[:pieceSize])
		to <- piece[:n]
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return nil
		default:
			return err
		}
	}
}

// store keeps what comes, as a blob.
func (k *keeper) store(comes <-chan []byte) error {
	w, err := k.blobs.Create(k.ctx, blob.Compressed)
	if err != nil {
		return err
	}
	defer w.Abort()
	sum := blob.NewSum()
	for piece := range comes {
		sum.Add(piece)
		_, err := w.Write(piece)
		k.free <- piece
		if err != nil {
			return err
		}
	}
	if there, err := k.renew(sum); there || err != nil {
		return err
	}
	return k.commit(w, sum)
}

// renew reports whether what was summed up is a blob already, which is then new.
func (k *keeper) renew(sum *blob.Sum) (there bool, err error) {
	if k.ctx.Err() != nil { // it may be a part only
		return false, k.failure()
	}
	info, err := sum.Info(james.Digest{})
	if err != nil {
		return false, err
	}
	missing, err := k.blobs.Renew(k.ctx, []james.Digest{info.Digest})
	return len(missing) == 0, err
}

func (k *keeper) commit(w blob.Writer, sum *blob.Sum) error {
	info, err := sum.Info(james.Digest{})
	if err != nil {
		return err
	}
	_, err = w.Commit(k.ctx, info.Digest)
	return err
}

// failure returns why the keeper has ended, nil while it has not.
func (k *keeper) failure() error {
	err := context.Cause(k.ctx)
	var known *james.Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	return james.Errorf(james.KindInterrupted, "contents of files", "storing them was stopped: %w", err)
}

// finish waits until all that was taken is stored, and returns the first failure.
// err is that of who called take; what is under way is then given up.
func (k *keeper) finish(err error) error {
	if err != nil {
		k.cancel(err)
	} else {
		k.put()
	}
	k.work.Wait()
	err = k.failure()
	k.cancel(nil)
	return err
}
