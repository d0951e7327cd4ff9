package fleet

import (
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

// TryUsed makes the set of the blobs in for n blobs. It returns how many of them it
// lacks, and how many of out it has.
func TryUsed(n int, in, out []james.Digest) (missing, wrong int) {
	u := newUsed(n)
	for _, d := range in {
		u.add(d)
	}
	for i := range in {
		if !u.has(in[i]) {
			missing++
		}
		if u.has(out[i]) {
			wrong++
		}
	}
	return missing, wrong
}

// Look makes an overview, however new the last one is.
func Look(f *Fleet) *james.FleetStatus { return f.look() }

// Refresh is one look at what other processes changed.
func (f *Fleet) Refresh(ctx context.Context) error { return f.refresh(ctx) }
