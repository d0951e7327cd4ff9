package mongostore

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/trusch/jamesd/internal/server/store/groupcommit"
	"github.com/trusch/jamesd/pkg/james"
)

// maxBackoff bounds the pause after an append that lost against one which
// cannot be read yet.
const maxBackoff = 100 * time.Millisecond

// append makes an entry of the first jobs, as many as fit into one, and returns
// their number. Where the state is not current, the database says so by
// refusing the insert; where it has no insert to refuse, it is asked.
func (r *replica) append(ctx context.Context, jobs []*groupcommit.Job[*job]) (int, error) {
	asked := false
	for backoff := time.Millisecond; ; {
		changes, n := r.propose(jobs)
		if len(changes) == 0 && asked {
			return n, nil
		}
		if len(changes) > 0 {
			done, err := r.insert(ctx, changes)
			if done || err != nil {
				return n, err
			}
		}
		before := r.head
		if err := r.catchUp(ctx); err != nil {
			return n, err
		}
		asked = true
		if len(changes) == 0 || r.head > before {
			continue
		}
		// Somebody's entry is there, but not yet on a majority of the servers.
		if err := sleep(ctx, rand.N(backoff)+backoff/2); err != nil {
			return n, err
		}
		backoff = min(2*backoff, maxBackoff)
	}
}

// propose returns the changes that the first jobs want, and their number.
func (r *replica) propose(jobs []*groupcommit.Job[*job]) ([]change, int) {
	var changes []change
	size := 0
	for i, j := range jobs {
		if size >= entryBytes {
			return changes, i
		}
		var more []change
		j.Try(func() { more, j.Value.err = j.Value.write(r.head, changes) })
		if j.Value.err != nil {
			continue
		}
		for _, c := range more {
			size += len(c.Body) + len(c.Key) + 64 // some for the fields' names
		}
		changes = append(changes, more...)
	}
	return changes, len(jobs)
}

// insert appends an entry to the log and to the state. It returns false where
// somebody else was faster.
func (r *replica) insert(ctx context.Context, changes []change) (bool, error) {
	done, err := r.log.insert(ctx, r.head, changes)
	if err != nil || !done {
		return false, err
	}
	floor, err := r.log.floor(ctx)
	if err != nil {
		return false, err
	}
	if floor > r.head {
		return false, james.Errorf(james.KindUnavailable, "log "+r.log.name,
			"it was trimmed up to %d while an entry was written after %d", floor, r.head)
	}
	r.apply(changes)
	r.setFloor(floor)
	return true, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return failure(ctx.Err())
	}
}
