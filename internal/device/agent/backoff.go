package agent

import "time"

// backoff is a waiting time that doubles with every try, from first to limit,
// and is spread so that a fleet that lost its server at one moment does not
// come back at one moment.
type backoff struct {
	first, limit time.Duration
	rand         func() float64 // in [0, 1)
}

// after returns how long to wait after n failed tries, n from 1: between a tenth
// of the doubled time and the whole of it.
func (b backoff) after(n int) time.Duration {
	d := b.whole(n)
	return d/10 + time.Duration(b.rand()*float64(d-d/10))
}

// whole returns the waiting time after n failed tries before it is spread.
func (b backoff) whole(n int) time.Duration {
	d := b.first
	for i := 1; i < n && d < b.limit; i++ {
		d *= 2
	}
	return min(d, b.limit)
}

// spread returns d changed by up to a tenth either way.
func spread(d time.Duration, rand func() float64) time.Duration {
	return d - d/10 + time.Duration(rand()*float64(d/5))
}
