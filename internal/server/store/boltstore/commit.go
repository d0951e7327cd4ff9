package boltstore

import (
	"context"
	"errors"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/groupcommit"
	"github.com/trusch/jamesd/pkg/james"
)

// write is what one caller has done within a transaction that it shares.
type write struct {
	// do returns a refusal, before which it has changed nothing and which is its
	// caller's alone, or a failure, which ends the whole transaction.
	do      func(tx *bbolt.Tx) (refusal, failure error)
	refusal error
}

// update has do carried out and committed.
func (s *Store) update(ctx context.Context, do func(tx *bbolt.Tx) (refusal, failure error)) error {
	return s.writes.Do(ctx, &write{do: do})
}

// commit runs a group of writes as one transaction and tells each how it ended.
func (s *Store) commit(group []*groupcommit.Job[*write]) bool {
	err := s.db.Update(func(tx *bbolt.Tx) (failure error) {
		for _, j := range group {
			j.Try(func() { j.Value.refusal, failure = j.Value.do(tx) })
			if failure != nil {
				return failure
			}
		}
		return nil
	})
	err = s.error(err)
	for _, j := range group {
		if err == nil {
			j.Done(j.Value.refusal)
		} else {
			j.Done(err)
		}
	}
	return false
}

// view runs do in a transaction that sees all that is committed.
func (s *Store) view(ctx context.Context, do func(tx *bbolt.Tx) error) error {
	if err := store.Alive(ctx); err != nil {
		return err
	}
	return s.error(s.db.View(do))
}

// error returns what bbolt failed with as an error of the store.
func (s *Store) error(err error) error {
	var known *james.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return store.Closed()
	}
	return writeError(s.file, err)
}

// writeError names the file and, where the disk is full, says so.
func writeError(file string, err error) error {
	for _, full := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		// bbolt wraps some causes and only quotes others.
		if errors.Is(err, full) || strings.Contains(err.Error(), full.Error()) {
			return james.Errorf(james.KindUnavailable, file, "there is no space left for it: %w", err).
				WithHint("Free space on its file system; nothing that was stored is lost.")
		}
	}
	return james.Errorf(james.KindUnavailable, file, "using the store: %w", err)
}
