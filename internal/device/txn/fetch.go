package txn

import (
	"context"
	"crypto/sha256"
	"errors"
	"hash"
	"io"
	"os"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// stageContents stages all files that are not empty: first those whose content an
// installed file has, then, with one order, what there is to fetch.
func (t *txn) stageContents(ctx context.Context, src Source) error {
	for _, c := range t.contents {
		if err := t.reuse(ctx, c); err != nil {
			return &stepError{t.steps[c.files[0].step], err}
		}
	}
	if err := t.growRoom(src); err != nil {
		return err
	}
	for again := false; ; again = true {
		o := t.order()
		if o.Empty() {
			return nil
		}
		if err := t.fetch(ctx, src, t.help(o)); err != nil {
			return err
		}
		unsound, err := t.takeAll(ctx, src)
		if err != nil || unsound == nil {
			return err
		}
		if again {
			return unsound
		}
		t.log.WithError(unsound).Warn("fetching what is not sound any more")
	}
}

// reuse stages the files of a content from an installed one. Where none is what its
// manifest says, the content is to be ordered.
func (t *txn) reuse(ctx context.Context, c *content) error {
	for ; len(c.places) > 0; c.places = c.places[1:] {
		err := t.copies(ctx, c, len(c.files), func() (*os.File, error) { return t.i.Disk.OpenFile(c.places[0].path) })
		if err == nil {
			return nil
		}
		if !isUnsound(err) {
			return err
		}
		t.log.WithError(err).Debug("an installed file is not reused")
	}
	return nil
}

// fetch has the source store what is ordered.
func (t *txn) fetch(ctx context.Context, src Source, o *Order) error {
	o.Use = t.room.useSource()
	err := src.Fetch(ctx, o)
	if err == nil {
		err = ctx.Err()
	}
	var of *PacketError
	switch {
	case err != nil && len(o.Wants) == 1:
		return &stepError{t.stepOf(o.Wants[0].Packet), err}
	case errors.As(err, &of) && t.stepOf(of.Packet) != nil:
		return &stepError{t.stepOf(of.Packet), of.Err}
	}
	return err
}

// stepOf returns the step that brings a packet.
func (t *txn) stepOf(p *james.Packet) *step {
	for _, s := range t.steps {
		if s.New != nil && s.New.packet == p {
			return s
		}
	}
	return nil
}

// takeAll stages what was fetched. unsound is what is to be fetched again.
func (t *txn) takeAll(ctx context.Context, src Source) (unsound, err error) {
	for _, c := range t.contents {
		if c.done == len(c.files) {
			continue
		}
		err := t.take(ctx, src, c)
		switch {
		case isUnsound(err):
			unsound = &stepError{t.steps[c.files[c.done].step], err}
		case err != nil:
			return nil, &stepError{t.steps[c.files[c.done].step], err}
		default:
			t.fetched = append(t.fetched, t.sample(c).Digest)
		}
	}
	return unsound, nil
}

// take stages the files of a content from the source: the last one as another name
// of its file, as that has no room to take, the others as copies.
func (t *txn) take(ctx context.Context, src Source, c *content) error {
	path, err := src.Content(t.sample(c).Digest)
	if err != nil {
		if james.KindOf(err) == james.KindCorrupt {
			return &unsoundError{err}
		}
		return err
	}
	copies := len(c.files)
	if c.link {
		copies--
	}
	open := func() (*os.File, error) { return src.Dir().OpenFile(path) }
	if err := t.copies(ctx, c, copies, open); err != nil || !c.link {
		return err
	}
	linked, err := t.link(c.files[copies], src.Dir(), path)
	if err != nil {
		return err
	}
	if !linked {
		return t.copies(ctx, c, len(c.files), open)
	}
	c.done++
	return nil
}

// link stages a file as another name of one of the source. Where files cannot have
// that it does nothing.
func (t *txn) link(f file, from *disk.Disk, path string) (done bool, err error) {
	e, st := t.entry(f)
	err = t.staged(st, func(to string) error {
		err := t.i.Disk.LinkFrom(from, path, to)
		switch {
		case disk.Unlinkable(err):
			return nil
		case errors.Is(err, os.ErrNotExist):
			return &unsoundError{err}
		case err != nil:
			return err
		}
		done = true
		t.areas[st.area].batch.Add(to)
		err = t.i.Disk.TakeOver(to, e.Size, t.fileMeta(e, st))
		if james.KindOf(err) == james.KindConflict {
			return t.dropUnsound(to, err)
		}
		return err
	})
	return done, err
}

// copies stages files of a content from one that open opens, until so many of them
// are done. An unsoundError says that the file has another content.
func (t *txn) copies(ctx context.Context, c *content, until int, open func() (*os.File, error)) error {
	for c.done < until {
		in, err := open()
		if err != nil {
			return &unsoundError{err}
		}
		e, st := t.entry(c.files[c.done])
		err = t.copy(ctx, e, st, in)
		in.Close() // it was only read
		if err != nil {
			return err
		}
		c.done++
	}
	return nil
}

// copy stages one file. Every byte is verified before it counts.
func (t *txn) copy(ctx context.Context, e *james.Entry, st *staged, in io.Reader) error {
	r := newSumReader(ctx, in, e.Size)
	return t.staged(st, func(path string) error {
		t.areas[st.area].batch.Add(path)
		err := t.i.Disk.WriteNew(path, t.room.areas[st.area].using(e, r), disk.New{Meta: t.fileMeta(e, st), Size: e.Size, Sparse: e.Sparse})
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case r.err != nil:
			return t.dropUnsound(path, r.err)
		case err != nil:
			return err
		case !r.is(e):
			return t.dropUnsound(path, james.Errorf(james.KindCorrupt, e.Path.String(), "its content was changed on the device"))
		}
		return nil
	})
}

// dropUnsound removes what was staged and is not what it should be, as err says.
func (t *txn) dropUnsound(path string, err error) error {
	if err := t.i.Disk.RemoveAll(path); err != nil {
		return err
	}
	return &unsoundError{err}
}

// fileMeta returns what a file gets besides its content.
func (t *txn) fileMeta(e *james.Entry, st *staged) disk.Meta {
	meta := t.ids.meta(e)
	if st.local != nil {
		meta.Mode, meta.UID, meta.GID = st.local.Mode, st.local.UID, st.local.GID
	}
	return meta
}

// unsoundError says that a file is not what it should be, or cannot be read.
type unsoundError struct{ error }

func (e *unsoundError) Unwrap() error { return e.error }

func isUnsound(err error) bool {
	var e *unsoundError
	return errors.As(err, &e)
}

// sumReader hashes what it reads and ends with the context.
type sumReader struct {
	ctx context.Context
	r   io.Reader
	sum hash.Hash
	n   int64
	err error // of r, but for io.EOF
}

// newSumReader returns a reader of a file that should have size bytes.
func newSumReader(ctx context.Context, file io.Reader, size int64) *sumReader {
	return &sumReader{ctx: ctx, r: io.LimitReader(file, size+1), sum: sha256.New()}
}

// is reports whether what was read is the content of an entry.
func (s *sumReader) is(e *james.Entry) bool {
	return s.n == e.Size && james.Digest(s.sum.Sum(nil)) == e.Digest
}

func (s *sumReader) Read(p []byte) (int, error) {
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := s.r.Read(p)
	s.sum.Write(p[:n])
	s.n += int64(n)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}
