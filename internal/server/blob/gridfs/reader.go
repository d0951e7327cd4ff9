package gridfs

import (
	"context"
	"errors"
	"io"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/packed"
	"github.com/trusch/jamesd/pkg/james"
)

// reader reads one blob, a chunk at a time. It has no cursor open at the server,
// so it does not matter how slowly it is read.
type reader struct {
	ctx     context.Context
	digest  james.Digest
	content io.ReaderAt // nil after Close
	size    int64
	pos     int64
}

// Open returns a blob for reading.
func (s *store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	f, err := s.find(ctx, digest)
	if err != nil {
		return nil, err
	}
	r := &reader{ctx: ctx, digest: digest, size: f.info(digest).Size}
	stored := &chunks{ctx: ctx, store: s, digest: digest, file: f, n: -1}
	r.content = stored
	if f.Metadata.Form != formPacked {
		return r, nil
	}
	content, err := packed.Open(stored, f.Length)
	if err == nil && content.Size() != r.size {
		err = corrupt(digest, "has %d bytes, and is described as %d", content.Size(), r.size)
	}
	if err != nil {
		return nil, r.failed(err)
	}
	r.content = content
	return &framed{r, content}, nil
}

// framed reads a blob that is kept compressed.
type framed struct {
	*reader
	frames *packed.Reader
}

// WriteFrames is as in blob.Framed.
func (r *framed) WriteFrames(w io.Writer) error {
	if r.content == nil {
		return blob.Closed(r.digest)
	}
	return r.failed(r.frames.WriteFrames(blob.Until(r.ctx, blob.Subject(r.digest), w)))
}

func (r *reader) Read(p []byte) (int, error) {
	if r.content == nil {
		return 0, blob.Closed(r.digest)
	}
	if err := blob.Interrupted(r.ctx, blob.Subject(r.digest)); err != nil {
		return 0, err
	}
	if r.pos >= r.size {
		return 0, io.EOF
	}
	n, err := r.content.ReadAt(p[:min(int64(len(p)), r.size-r.pos)], r.pos)
	r.pos += int64(n)
	if n > 0 {
		return n, nil // an error comes again with the next call
	}
	return 0, r.failed(err)
}

// failed says what an error of the content means.
func (r *reader) failed(err error) error {
	if errors.Is(err, packed.ErrDamaged) {
		return corrupt(r.digest, "is damaged: %w", err)
	}
	return err
}

// chunks reads what is stored of a blob. It holds one chunk.
type chunks struct {
	ctx    context.Context
	store  *store
	digest james.Digest
	file   *file
	chunk  []byte
	n      int64 // number of chunk, -1 for none
}

// ReadAt reads as io.ReaderAt does, but for one goroutine only.
func (c *chunks) ReadAt(p []byte, offset int64) (n int, err error) {
	for n < len(p) {
		at := offset + int64(n)
		if at >= c.file.Length {
			return n, io.EOF
		}
		if err := c.load(at / c.file.ChunkSize); err != nil {
			return n, err
		}
		n += copy(p[n:], c.chunk[at%c.file.ChunkSize:])
	}
	return n, nil
}

// load makes chunk n the one that is held.
func (c *chunks) load(n int64) error {
	if n == c.n {
		return nil
	}
	data, err := c.fetch(n)
	if err != nil {
		return err
	}
	if want := min(c.file.ChunkSize, c.file.Length-n*c.file.ChunkSize); int64(len(data)) != want {
		return corrupt(c.digest, "chunk %d has %d bytes, expected %d", n, len(data), want)
	}
	c.chunk, c.n = data, n
	return nil
}

func (c *chunks) fetch(n int64) ([]byte, error) {
	callCtx, cancel := context.WithTimeout(c.ctx, callTimeout)
	defer cancel()
	raw, err := c.store.chunks.FindOne(callCtx, byID(chunkID(c.file.ID, n))).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, c.missing(n)
	}
	if err != nil {
		return nil, c.store.failed(c.ctx, err)
	}
	_, data, ok := raw.Lookup("data").BinaryOK()
	if !ok {
		return nil, corrupt(c.digest, "chunk %d has no data", n)
	}
	return data, nil
}

// missing returns why chunk n is not there.
func (c *chunks) missing(n int64) error {
	there, err := c.store.exists(c.ctx, c.file.ID)
	if err != nil {
		return err
	}
	if !there {
		return james.Errorf(james.KindNotFound, blob.Subject(c.digest), "was deleted while it was read")
	}
	return corrupt(c.digest, "chunk %d is missing", n)
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	if r.content == nil {
		return 0, blob.Closed(r.digest)
	}
	pos, err := blob.Seek(r.pos, r.size, offset, whence)
	if err == nil {
		r.pos = pos
	}
	return pos, err
}

func (r *reader) Size() int64 { return r.size }

func (r *reader) Close() error {
	r.content = nil
	return nil
}
