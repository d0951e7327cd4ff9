package mongostore

import (
	"context"
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/server/store/groupcommit"
)

// opTimeout bounds what is done for one group of callers.
const opTimeout = 10 * time.Second

// state is what a log says, in memory. Its methods are called by one goroutine.
type state interface {
	// apply takes in the change of that number.
	apply(n uint64, c change)
	// reset starts again from a floor: what is not applied after it is gone, at
	// the latest since that number.
	reset(floor uint64)
	// trimmed says that the log begins after floor now.
	trimmed(floor uint64)
	// target returns how far the log, from floor to head, should be trimmed; not
	// above floor where it need not be.
	target(floor, head uint64) uint64
	// live returns changes that repeat what is said only up to that number, at
	// most about entryBytes of them.
	live(upTo uint64) []change
}

// job is what one caller wants of a replica: one of its functions is set, and is
// called when the state is current.
type job struct {
	read func()
	// write returns the changes to append after head, on the state and the
	// changes of the group so far; it has no effect of its own as it is called
	// again when somebody else was faster. Its error is its caller's alone.
	write func(head uint64, group []change) ([]change, error)
	err   error
}

// replica is a log, its state, and the queue whose goroutine owns both.
type replica struct {
	log   *log
	state state
	queue *groupcommit.Queue[*job]

	head, floor uint64
	// current says that head was the end of the log when last looked at.
	current bool
	// marks are numbers at which entries end, ascending, above the floor.
	marks []uint64
	// trimTo is the floor that is being worked on, 0 for none; sweeping says that
	// entries up to the floor are there to be deleted.
	trimTo   uint64
	sweeping bool
}

func newReplica(l *log, s state) *replica {
	r := &replica{log: l, state: s}
	r.queue = groupcommit.New(r.serveGroup)
	return r
}

// read calls f once the state has all that was in the log when read was called.
func (r *replica) read(ctx context.Context, f func()) error {
	return r.queue.Do(ctx, &job{read: f})
}

// write appends what f returns.
func (r *replica) write(ctx context.Context, f func(head uint64, group []change) ([]change, error)) error {
	return r.queue.Do(ctx, &job{write: f})
}

// serveGroup does what the callers of a group want, and then a bit of trimming,
// which goes on while it is called.
func (r *replica) serveGroup(group []*groupcommit.Job[*job]) (again bool) {
	ctx, cancel := context.WithTimeout(context.Background(), opTimeout)
	defer cancel()
	if err := r.serve(ctx, group); err != nil {
		r.current = false
		return false
	}
	// A failure to trim is not reported: nothing is lost, who needs the database
	// next learns what is wrong with it, and the next append tries again.
	again, err := r.trim(ctx)
	if err != nil {
		r.current = false
	}
	return again && err == nil
}

// serve does what the callers want and ends their jobs, all of them.
func (r *replica) serve(ctx context.Context, group []*groupcommit.Job[*job]) error {
	var writes []*groupcommit.Job[*job]
	var reads []*groupcommit.Job[*job]
	for _, j := range group {
		if j.Value.read != nil {
			reads = append(reads, j)
		} else {
			writes = append(writes, j)
		}
	}
	var err error
	if len(reads) > 0 || !r.current {
		err = r.catchUp(ctx)
	}
	for _, j := range reads {
		if err == nil {
			j.Try(j.Value.read)
		}
		j.Done(err)
	}
	for len(writes) > 0 {
		n := len(writes)
		if err == nil {
			n, err = r.append(ctx, writes)
		}
		for _, j := range writes[:n] {
			if err != nil {
				j.Done(err)
			} else {
				j.Done(j.Value.err)
			}
		}
		writes = writes[n:]
	}
	return err
}

// catchUp brings the state to the end of the log.
func (r *replica) catchUp(ctx context.Context) error {
	for {
		entries, more, err := r.log.read(ctx, r.head)
		if err != nil {
			return err
		}
		floor, err := r.log.floor(ctx)
		if err != nil {
			return err
		}
		if floor > r.head {
			// What was read may be an entry that should not be there, see doc.go.
			r.state.reset(floor)
			r.head, r.floor, r.marks, r.trimTo = floor, floor, nil, 0
			continue
		}
		r.setFloor(floor)
		for _, e := range entries {
			r.apply(e.Changes)
		}
		if !more {
			r.current = true
			return nil
		}
	}
}

// apply takes in an entry that is in the log after head.
func (r *replica) apply(changes []change) {
	const markEvery = 64
	for _, c := range changes {
		r.head++
		r.state.apply(r.head, c)
	}
	if last := len(r.marks) - 1; last < 0 || r.head >= r.marks[last]+markEvery {
		r.marks = append(r.marks, r.head)
	}
}

func (r *replica) setFloor(floor uint64) {
	if floor <= r.floor {
		return
	}
	r.floor = floor
	r.marks = slices.DeleteFunc(r.marks, func(m uint64) bool { return m <= floor })
	r.state.trimmed(floor)
}
