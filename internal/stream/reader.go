package stream

import (
	"bufio"
	"errors"
	"io"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/readahead"
	"github.com/trusch/jamesd/pkg/james"
)

// Reader reads a stream, piece by piece. It is for one goroutine; another one of its own
// decompresses ahead. After an error it fails with that error for ever.
type Reader struct {
	in    io.Reader
	plain *bufio.Reader // what the frame decompresses to
	close func()
	heads headCode
	codec Codec // 0 before it is known
	err   error

	batch   []byte
	patches []*delta.Patch // of the batch, which come next
	patch   *delta.Patch   // of the current piece
	left    int64          // bytes of the current piece that come whole
}

// NewReader returns a reader of the stream in r, of which it has read nothing yet. It
// reads r to its end, and ahead of the pieces.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: r, heads: newHeadCode(), close: func() {}}
}

// Close releases what the reader holds, and ends it, when a read under way of what is
// below has returned. It always succeeds.
func (r *Reader) Close() error {
	r.close()
	r.err, r.plain, r.batch, r.patches, r.patch = errReaderClosed, nil, nil, nil, nil
	r.close = func() {}
	return nil
}

var errReaderClosed = errors.New("the stream is closed")

// Codec returns how the stream is compressed, 0 where that is not known yet. It is once
// Next has succeeded.
func (r *Reader) Codec() Codec { return r.codec }

// Next returns the head of the next piece, and skips what was not read of the one
// before. The piece is to be read with Whole where Head.Base is nil, and with Patch
// otherwise. It returns io.EOF at the proper end of the stream, and fails with
// KindCorrupt for what is malformed or ends too early, and with what the reader below
// fails with.
func (r *Reader) Next() (Head, error) {
	if r.err != nil {
		return Head{}, r.err
	}
	h, err := r.next()
	if err != nil {
		r.err = r.explain(err)
		return Head{}, r.err
	}
	return h, nil
}

// Whole returns the content of the current piece, Head.Size bytes. Its Read fails as
// Next does. It is good until the next call of Next.
func (r *Reader) Whole() io.Reader { return whole{r} }

// Patch returns what the current piece makes of old, Head.Size bytes. Its Read fails
// with KindCorrupt where old is shorter than the patch needs, and with what reading old
// fails with; the stream can be read on all the same. It is good until the next call of
// Next.
func (r *Reader) Patch(old io.ReaderAt) io.Reader {
	if r.patch == nil {
		return whole{r}
	}
	return r.patch.Reader(old)
}

func (r *Reader) next() (Head, error) {
	if r.plain == nil {
		if err := r.begin(); err != nil {
			return Head{}, err
		}
	}
	if err := r.skip(); err != nil {
		return Head{}, err
	}
	if len(r.patches) == 0 {
		group, err := r.plain.ReadByte()
		switch {
		case err != nil:
			return Head{}, err
		case group == groupEnd:
			return Head{}, r.end()
		case group == groupWhole:
			return r.nextWhole()
		case group != groupBatch:
			return Head{}, corrupt("the unknown group %d", group)
		}
		if err := r.readBatch(); err != nil {
			return Head{}, err
		}
	}
	r.patch, r.patches = r.patches[0], r.patches[1:]
	return r.heads.read(r.plain, r.patch.Size(), true)
}

// begin reads what stands before the frame.
func (r *Reader) begin() error {
	below := &source{r: r.in}
	in := bufio.NewReaderSize(below, 32<<10)
	var prefix [prefixSize]byte
	if _, err := io.ReadFull(in, prefix[:]); err != nil {
		return below.explain(err)
	}
	if [len(magic)]byte(prefix[:]) != magic || prefix[len(magic)] != version {
		return corrupt("it does not begin as one of version %d", version)
	}
	codec := Codec(prefix[prefixSize-1])
	plain, release, err := newDecompressor(in, codec)
	if err != nil {
		return err
	}
	ahead := readahead.New(&explained{plain, below}, readahead.Options{Chunk: chunkSize, Chunks: chunks})
	r.codec, r.plain, r.close = codec, bufio.NewReaderSize(ahead, 32<<10), func() { ahead.Close(); release() }
	return nil
}

// What is decompressed ahead, in bytes: a block of zstd at a time.
const (
	chunkSize = 128 << 10
	chunks    = 4
)

func (r *Reader) skip() error {
	r.patch = nil
	if r.left == 0 {
		return nil
	}
	_, err := io.CopyN(io.Discard, r.plain, r.left)
	r.left = 0
	return err
}

func (r *Reader) nextWhole() (Head, error) {
	size, err := readUvarint(r.plain, maxSize)
	if err != nil {
		return Head{}, err
	}
	r.left = int64(size)
	return r.heads.read(r.plain, r.left, false)
}

func (r *Reader) readBatch() error {
	size, err := readUvarint(r.plain, delta.MaxBatch)
	if err != nil {
		return err
	}
	if uint64(cap(r.batch)) < size {
		r.batch = make([]byte, size)
	}
	r.batch = r.batch[:size]
	if _, err := io.ReadFull(r.plain, r.batch); err != nil {
		return err
	}
	if r.patches, err = delta.DecodeBatch(r.batch); err != nil {
		return err
	}
	if len(r.patches) == 0 {
		return corrupt("an empty batch")
	}
	return nil
}

// end returns io.EOF where nothing follows.
func (r *Reader) end() error {
	_, err := r.plain.ReadByte()
	if err == nil {
		return corrupt("something follows its end")
	}
	if err == io.EOF {
		return errEnd
	}
	return err
}

// whole reads the current piece.
type whole struct{ r *Reader }

func (w whole) Read(b []byte) (int, error) {
	r := w.r
	if r.err != nil {
		return 0, r.err
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	n, err := r.plain.Read(b[:min(int64(len(b)), r.left)])
	r.left -= int64(n)
	if err != nil {
		r.err = r.explain(err)
	}
	if n > 0 {
		return n, nil
	}
	return 0, r.err
}

var errEnd = errors.New("the proper end")

// explain says what an error means that came while reading.
func (r *Reader) explain(err error) error {
	var known *james.Error
	var failed *sourceError
	switch {
	case err == errEnd:
		return io.EOF
	case errors.As(err, &failed):
		return failed.error
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return corrupt("it ends too early")
	}
	return corrupt("%w", err)
}

func corrupt(format string, args ...any) error {
	return james.Errorf(james.KindCorrupt, "stream of contents", format, args...)
}

// source keeps the error with which r fails, as a codec may hide it.
type source struct {
	r   io.Reader
	err error
}

func (s *source) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// explain returns the error that is behind one of a codec.
func (s *source) explain(err error) error {
	if err == nil || s.err == nil {
		return err
	}
	return &sourceError{s.err}
}

// sourceError is an error of what is below a reader.
type sourceError struct{ error }

func (e *sourceError) Unwrap() error { return e.error }

// explained is what a codec decompresses from a source.
type explained struct {
	io.Reader
	below *source
}

func (e *explained) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	return n, e.below.explain(err)
}
