// Package groupcommit lets many callers share one commit: while a group is
// written, the callers that come gather, and make the next group. A lone caller
// does not wait for others.
//
// One goroutine runs the groups, one after the other, so what it works on needs
// no lock. The package knows nothing of what is committed.
package groupcommit

import (
	"context"
	"sync"

	"github.com/trusch/jamesd/internal/server/store"
)

// MaxGroup bounds the jobs of a group.
const MaxGroup = 1000

// Queue gathers jobs of type T and runs them in groups.
type Queue[T any] struct {
	run   func(group []*Job[T]) (again bool)
	ended chan struct{}

	mu      sync.Mutex
	changed *sync.Cond // waiting has grown, or closed was set
	waiting []*Job[T]
	closed  bool
}

// New starts a queue. Its goroutine calls run with each group, of at most
// MaxGroup jobs in the order they came, and run must end each of them with
// Done. When run returns true it is called again even if no job has come, with
// an empty group.
func New[T any](run func(group []*Job[T]) (again bool)) *Queue[T] {
	q := &Queue[T]{run: run, ended: make(chan struct{})}
	q.changed = sync.NewCond(&q.mu)
	go q.loop()
	return q
}

// Do has value run in a group and returns the error that its job is Done with.
// It fails with james.KindInterrupted as soon as ctx is done, although the job
// may still be carried out, and with james.KindUnavailable after Close.
func (q *Queue[T]) Do(ctx context.Context, value T) error {
	if err := store.Alive(ctx); err != nil {
		return err
	}
	j := &Job[T]{Value: value, done: make(chan error, 1)}
	if !q.push(j) {
		return store.Closed()
	}
	select {
	case err := <-j.done:
		return err
	case <-ctx.Done():
		j.abandon()
		return store.Alive(ctx)
	}
}

func (q *Queue[T]) push(j *Job[T]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	q.waiting = append(q.waiting, j)
	q.changed.Signal()
	return true
}

// Close refuses new jobs and waits until those that have come are done.
func (q *Queue[T]) Close() {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	<-q.ended
}

func (q *Queue[T]) loop() {
	defer close(q.ended)
	again := false
	for {
		group, ok := q.next(again)
		if !ok {
			return
		}
		again = q.run(group)
	}
}

// next returns the jobs that wait. If there are none it returns at once if asked
// to, and else waits for one. It returns false when the queue is closed and
// empty.
func (q *Queue[T]) next(now bool) ([]*Job[T], bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed || now {
			return nil, !q.closed
		}
		q.changed.Wait()
	}
	n := min(len(q.waiting), MaxGroup)
	group := q.waiting[:n:n]
	q.waiting = q.waiting[n:]
	return group, true
}

// Job is one caller's part of a group.
type Job[T any] struct {
	Value T

	done      chan error
	mu        sync.Mutex
	abandoned bool
}

// Try calls f, which may call back into the caller's code, unless the caller
// has stopped waiting; until f returns, the caller does not. It reports whether
// f was called.
func (j *Job[T]) Try(f func()) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.abandoned {
		return false
	}
	f()
	return true
}

func (j *Job[T]) abandon() {
	j.mu.Lock()
	j.abandoned = true
	j.mu.Unlock()
}

// Done ends the job. It must be called once.
func (j *Job[T]) Done(err error) { j.done <- err }
