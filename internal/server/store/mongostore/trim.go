package mongostore

import (
	"context"
	"slices"
)

// trim does one step of trimming the log and reports whether there is another.
// Processes that trim at the same time do each other no harm.
func (r *replica) trim(ctx context.Context) (again bool, err error) {
	switch {
	case r.sweeping:
		r.sweeping, err = r.log.deleteSome(ctx, r.floor)
		return r.sweeping, err
	case r.trimTo > r.floor:
		return r.trimStep(ctx)
	}
	r.trimTo = r.markBelow(r.state.target(r.floor, r.head))
	return r.trimTo > r.floor, nil
}

// trimStep appends some of what only the entries up to trimTo say, or else makes
// that the floor.
func (r *replica) trimStep(ctx context.Context) (again bool, err error) {
	if moved := r.state.live(r.trimTo); len(moved) > 0 {
		before := r.head
		done, err := r.insert(ctx, moved)
		if err == nil && !done {
			err = r.catchUp(ctx)
		}
		return r.head > before, err
	}
	if err := r.log.setFloor(ctx, r.trimTo); err != nil {
		return false, err
	}
	r.setFloor(r.trimTo)
	r.trimTo, r.sweeping = 0, true
	return true, nil
}

// markBelow returns the highest number up to n at which an entry is known to
// end, 0 for none above the floor.
func (r *replica) markBelow(n uint64) uint64 {
	i, exact := slices.BinarySearch(r.marks, n)
	if exact {
		return n
	}
	if i == 0 {
		return 0
	}
	return r.marks[i-1]
}
