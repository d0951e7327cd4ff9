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

// Open returns a blob for reading, a chunk at a time. It has no cursor open at the
// server, so it does not matter how slowly it is read.
func (s *store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	f, err := s.find(ctx, digest)
	if err != nil {
		return nil, err
	}
	failed := func(err error) error {
		if errors.Is(err, packed.ErrDamaged) {
			return corrupt(digest, "is damaged: %w", err)
		}
		return err
	}
	c := blob.Content{ReaderAt: &chunks{ctx: ctx, store: s, digest: digest, file: f, n: -1}, Digest: digest, Size: f.info(digest).Size, Failed: failed}
	if f.Metadata.Form != formPacked {
		return blob.NewReader(ctx, c), nil
	}
	content, err := packed.Open(c.ReaderAt, f.Length)
	if err == nil && content.Size() != c.Size {
		err = corrupt(digest, "has %d bytes, and is described as %d", content.Size(), c.Size)
	}
	if err != nil {
		return nil, failed(err)
	}
	c.ReaderAt = content
	return blob.NewReader(ctx, c), nil
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
