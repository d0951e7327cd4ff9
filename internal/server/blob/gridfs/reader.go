package gridfs

import (
	"context"
	"errors"
	"io"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// reader reads one blob, a chunk at a time. It has no cursor open at the server,
// so it does not matter how slowly it is read.
type reader struct {
	ctx    context.Context
	store  *store
	digest james.Digest
	file   *file // nil after Close
	size   int64
	pos    int64
	chunk  []byte
	n      int64 // number of chunk, -1 for none
}

// Open returns a blob for reading.
func (s *store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	f, err := s.find(ctx, digest)
	if err != nil {
		return nil, err
	}
	return &reader{ctx: ctx, store: s, digest: digest, file: f, size: f.Length, n: -1}, nil
}

func (r *reader) Read(p []byte) (int, error) {
	if r.file == nil {
		return 0, blob.Closed(r.digest)
	}
	if err := blob.Interrupted(r.ctx, blob.Subject(r.digest)); err != nil {
		return 0, err
	}
	if r.pos >= r.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	if err := r.load(r.pos / r.file.ChunkSize); err != nil {
		return 0, err
	}
	n := copy(p, r.chunk[r.pos%r.file.ChunkSize:])
	r.pos += int64(n)
	return n, nil
}

// load makes chunk n the one that is held.
func (r *reader) load(n int64) error {
	if n == r.n {
		return nil
	}
	data, err := r.fetch(n)
	if err != nil {
		return err
	}
	if want := min(r.file.ChunkSize, r.size-n*r.file.ChunkSize); int64(len(data)) != want {
		return corrupt(r.digest, "chunk %d has %d bytes, expected %d", n, len(data), want)
	}
	r.chunk, r.n = data, n
	return nil
}

func (r *reader) fetch(n int64) ([]byte, error) {
	callCtx, cancel := context.WithTimeout(r.ctx, callTimeout)
	defer cancel()
	raw, err := r.store.chunks.FindOne(callCtx, byID(chunkID(r.file.ID, n))).Raw()
	if errors.Is(err, mongo.ErrNoDocuments) {
		return nil, r.missing(n)
	}
	if err != nil {
		return nil, r.store.failed(r.ctx, err)
	}
	_, data, ok := raw.Lookup("data").BinaryOK()
	if !ok {
		return nil, corrupt(r.digest, "chunk %d has no data", n)
	}
	return data, nil
}

// missing returns why chunk n is not there.
func (r *reader) missing(n int64) error {
	there, err := r.store.exists(r.ctx, r.file.ID)
	if err != nil {
		return err
	}
	if !there {
		return james.Errorf(james.KindNotFound, blob.Subject(r.digest), "was deleted while it was read")
	}
	return corrupt(r.digest, "chunk %d is missing", n)
}

func (r *reader) Seek(offset int64, whence int) (int64, error) {
	if r.file == nil {
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
	r.file, r.chunk = nil, nil
	return nil
}
