package stream

import (
	"encoding/binary"
	"errors"
	"io"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/pkg/james"
)

// Options say how a stream is made. The zero value has no codec and is refused.
type Options struct {
	Codec Codec
	Level Level
}

// The groups that a stream consists of.
const (
	groupEnd = iota
	groupWhole
	groupBatch
)

// flushEvery is after how many bytes that a reader cannot have yet, before they are
// compressed, the codec is made to write them. It costs less than a thousandth.
const flushEvery = 256 << 10

// Writer makes a stream. It takes a batch and what its codec takes: some 20 MiB for
// Zstd, 50 at its best, and ten times the content for XZ, up to 90. It is for one
// goroutine. After an error it fails with that error for ever.
type Writer struct {
	out   compressor
	heads headCode
	batch batch
	buf   []byte
	held  int64 // bytes written since the last flush
	err   error
}

// NewWriter returns a writer that makes a stream into w. It fails with KindInvalid for
// an unknown codec, and with what w fails with.
func NewWriter(w io.Writer, o Options) (*Writer, error) {
	if o.Codec != Zstd && o.Codec != XZ {
		return nil, james.Errorf(james.KindInvalid, "codec", "is none of zstd, xz")
	}
	prefix := append(magic[:], version, byte(o.Codec))
	if _, err := w.Write(prefix); err != nil {
		return nil, err
	}
	out, err := newCompressor(w, o.Codec, o.Level)
	if err != nil {
		return nil, err
	}
	return &Writer{out: out, heads: newHeadCode()}, nil
}

var errWriterClosed = errors.New("the stream is closed")

// Whole writes a piece whose content is what content has; it has to be h.Size bytes. It
// fails with KindInvalid for a head that cannot follow the one before, KindCorrupt for
// a content of another size, and with what content or the writer below fails with.
func (w *Writer) Whole(h Head, content io.Reader) error {
	if err := w.flushBatch(); err != nil {
		return err
	}
	if w.err == nil {
		w.err = w.whole(h, content)
	}
	return w.err
}

func (w *Writer) whole(h Head, content io.Reader) error {
	if err := w.wholeHead(h); err != nil {
		return err
	}
	n, err := io.Copy(w.out, io.LimitReader(content, h.Size))
	w.held += n
	if err != nil {
		return err
	}
	if n == h.Size {
		n, err = io.CopyN(io.Discard, content, 1)
		n += h.Size
	}
	if n != h.Size {
		return james.Errorf(james.KindCorrupt, "content", "has not the %d bytes that it should have", h.Size)
	}
	if err != nil && err != io.EOF {
		return err
	}
	return w.flushSome()
}

// Frames writes a piece whose content is what the frames of zstd decompress to that
// write writes to what it is given; it has to be h.Size bytes, and no frame may refer
// to more than Window before. Nothing of that is looked at. It fails with KindInvalid
// for another codec than Zstd, else as Whole does, and with what write fails with.
func (w *Writer) Frames(h Head, write func(io.Writer) error) error {
	if err := w.flushBatch(); err != nil {
		return err
	}
	if w.err == nil {
		w.err = w.insert(h, write)
	}
	return w.err
}

func (w *Writer) insert(h Head, write func(io.Writer) error) error {
	out, ok := w.out.(*frames)
	if !ok {
		return james.Errorf(james.KindInvalid, "codec", "its streams have no frames of zstd")
	}
	if err := w.wholeHead(h); err != nil {
		return err
	}
	w.held = 0
	return out.insert(write)
}

// wholeHead writes what stands before a whole piece.
func (w *Writer) wholeHead(h Head) error {
	h.Base = nil
	w.buf = binary.AppendUvarint(append(w.buf[:0], groupWhole), uint64(h.Size))
	head, err := w.heads.append(w.buf, h)
	if err != nil {
		return err
	}
	return w.write(head)
}

// Patch writes a piece whose content is what p makes of h.Base; h.Size is p.Size().
// What is large becomes several pieces. It fails as Whole does, and may keep p until
// the next call.
func (w *Writer) Patch(h Head, p *delta.Patch) error {
	if w.err == nil {
		w.err = w.patch(h, p)
	}
	return w.err
}

func (w *Writer) patch(h Head, p *delta.Patch) error {
	if h.Base == nil || h.Size != p.Size() {
		return badHead("the patch of %d bytes is of a content of %d with a base", p.Size(), h.Size)
	}
	for _, piece := range p.Split(batchSize) {
		h.Size = piece.Size()
		if !w.batch.fits(piece) {
			if err := w.writeBatch(); err != nil {
				return err
			}
		}
		if err := w.batch.add(&w.heads, h, piece); err != nil {
			return err
		}
		h.Offset += h.Size
	}
	return nil
}

// Flush writes all that was given so far, so that a reader can have it. It costs some
// bytes: it is for who has to wait for what comes next.
func (w *Writer) Flush() error {
	if err := w.flushBatch(); err != nil {
		return err
	}
	w.err = w.out.Flush()
	w.held = 0
	return w.err
}

// Close writes the end of the stream. It does not close the writer below, and releases
// what the Writer holds also after an error, which it returns again.
func (w *Writer) Close() error {
	if w.err == nil {
		w.err = w.writeBatch()
	}
	if w.err == nil {
		w.err = w.write([]byte{groupEnd})
	}
	err := w.err
	if closed := w.out.Close(); err == nil {
		err = closed
	}
	w.err = errWriterClosed
	return err
}

func (w *Writer) flushBatch() error {
	if w.err == nil {
		w.err = w.writeBatch()
	}
	return w.err
}

// writeBatch writes the batch that was gathered, if there is any.
func (w *Writer) writeBatch() error {
	if w.batch.empty() {
		return nil
	}
	w.buf = w.batch.append(append(w.buf[:0], groupBatch))
	if err := w.write(w.buf); err != nil {
		return err
	}
	return w.flushSome()
}

func (w *Writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.held += int64(n)
	return err
}

func (w *Writer) flushSome() error {
	if w.held < flushEvery {
		return nil
	}
	w.held = 0
	return w.out.Flush()
}
