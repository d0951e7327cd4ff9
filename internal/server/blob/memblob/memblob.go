// Package memblob keeps blobs in memory, for tests and for trying things out.
//
// It is a whole implementation of blob.Store, but for what memory cannot do: its
// blobs end with the process, and cost their size in memory.
package memblob

import (
	"bytes"
	"context"
	"iter"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// Store is a blob.Store in memory. Make one with New.
type Store struct {
	now func() time.Time

	mu      sync.Mutex
	blobs   map[james.Digest]content
	writers map[*writer]time.Time // unfinished, with the time of their Create
}

// content is a blob; data is never changed.
type content struct {
	data     []byte
	modified time.Time
}

var _ blob.Store = (*Store)(nil)

// New returns an empty store.
func New() *Store {
	return &Store{
		now:     time.Now,
		blobs:   make(map[james.Digest]content),
		writers: make(map[*writer]time.Time),
	}
}

// Create starts a new blob, which is kept plain: memory is freed by its end.
func (s *Store) Create(ctx context.Context, _ blob.Form) (blob.Writer, error) {
	if err := blob.Interrupted(ctx, "new blob"); err != nil {
		return nil, err
	}
	w := &writer{ctx: ctx, store: s, sum: blob.NewSum()}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writers[w] = s.now()
	return w, nil
}

// Put commits contents.
func (s *Store) Put(ctx context.Context, _ blob.Form, contents [][]byte) error {
	lacking, err := blob.Lacking(ctx, s, contents)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now().Round(0).UTC()
	for _, c := range lacking {
		s.blobs[c.Digest] = content{data: bytes.Clone(c.Content), modified: now}
	}
	return nil
}

// Open returns a blob for reading.
func (s *Store) Open(ctx context.Context, digest james.Digest) (blob.Reader, error) {
	c, err := s.find(ctx, digest)
	if err != nil {
		return nil, err
	}
	same := func(err error) error { return err }
	return blob.NewReader(ctx, blob.Content{ReaderAt: bytes.NewReader(c.data), Digest: digest, Size: int64(len(c.data)), Failed: same}), nil
}

// Stat describes a blob.
func (s *Store) Stat(ctx context.Context, digest james.Digest) (blob.Info, error) {
	c, err := s.find(ctx, digest)
	if err != nil {
		return blob.Info{}, err
	}
	return c.info(digest), nil
}

// Missing returns those blobs that are not there.
func (s *Store) Missing(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	return s.each(ctx, digests, func(c content) content { return c })
}

// Renew sets the time of those blobs that there are.
func (s *Store) Renew(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error) {
	now := s.now().Round(0).UTC()
	return s.each(ctx, digests, func(c content) content { return content{c.data, now} })
}

// each puts what change makes of those blobs that there are in their places.
func (s *Store) each(ctx context.Context, digests []james.Digest, change func(content) content) (missing []james.Digest, err error) {
	if err := blob.Interrupted(ctx, "blobs"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, digest := range digests {
		if c, ok := s.blobs[digest]; ok {
			s.blobs[digest] = change(c)
		} else {
			missing = append(missing, digest)
		}
	}
	return missing, nil
}

// Delete removes a blob. Who reads it goes on reading.
func (s *Store) Delete(ctx context.Context, digest james.Digest) error {
	if err := blob.Interrupted(ctx, blob.Subject(digest)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.blobs, digest)
	return nil
}

// Expire removes a blob of before that time.
func (s *Store) Expire(ctx context.Context, digest james.Digest, before time.Time) (bool, error) {
	if err := blob.Interrupted(ctx, blob.Subject(digest)); err != nil {
		return false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.blobs[digest]
	if !ok || !c.modified.Before(before) {
		return false, nil
	}
	delete(s.blobs, digest)
	return true, nil
}

// List iterates over the blobs that there are at its start.
func (s *Store) List(ctx context.Context) iter.Seq2[blob.Listed, error] {
	return func(yield func(blob.Listed, error) bool) {
		if err := blob.Interrupted(ctx, "blobs"); err != nil {
			yield(blob.Listed{}, err)
			return
		}
		for _, listed := range s.list() {
			if !yield(listed, nil) {
				return
			}
		}
	}
}

// Sweep drops the bytes of unfinished writers of before that time.
func (s *Store) Sweep(ctx context.Context, before time.Time) error {
	if err := blob.Interrupted(ctx, "blobs"); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for w, started := range s.writers {
		if started.Before(before) {
			delete(s.writers, w)
		}
	}
	return nil
}

// Ping succeeds while the context lasts.
func (s *Store) Ping(ctx context.Context) error { return blob.Interrupted(ctx, "blobs") }

// Close does nothing: the garbage collector releases a store that nobody uses.
func (s *Store) Close() error { return nil }

func (s *Store) find(ctx context.Context, digest james.Digest) (content, error) {
	if err := blob.Interrupted(ctx, blob.Subject(digest)); err != nil {
		return content{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c, ok := s.blobs[digest]
	if !ok {
		return content{}, blob.NotFound(digest)
	}
	return c, nil
}

func (s *Store) list() []blob.Listed {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]blob.Listed, 0, len(s.blobs))
	for digest, c := range s.blobs {
		all = append(all, blob.Listed{Digest: digest, Stored: int64(len(c.data)), Modified: c.modified})
	}
	return all
}

func (c content) info(digest james.Digest) blob.Info {
	return blob.Info{Digest: digest, Size: int64(len(c.data)), Modified: c.modified}
}
