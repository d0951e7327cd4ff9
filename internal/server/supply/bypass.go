package supply

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// bypassFor is how long streams go out without the cache that are as large as one
// which it did not take to its end: who asked for that one was cut off.
const bypassFor = 10 * time.Minute

// bypass remembers what the cache did not take.
type bypass struct {
	now func() time.Time

	mu    sync.Mutex
	size  int64 // bytes that it took of the smallest
	until time.Time
	quiet time.Time // until then the log says no more of it
}

// note remembers that the cache has taken size bytes of a stream, and no more. It
// reports whether that is worth a line in the log.
func (b *bypass) note(size int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if size > 0 {
		if !now.Before(b.until) || size < b.size {
			b.size = size
		}
		b.until = now.Add(bypassFor)
	}
	if now.Before(b.quiet) {
		return false
	}
	b.quiet = now.Add(bypassFor)
	return true
}

// has reports whether a stream of about that size is not to be given to the cache.
func (b *bypass) has(size int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now().Before(b.until) && size >= b.size/2
}

// refused reports whether err is the cache's, which has taken n bytes of a stream.
func (s *Supply) refused(err error, n int64) bool {
	if !errors.Is(err, cache.ErrNoRoom) && !errors.Is(err, cache.ErrDisk) {
		return false
	}
	if s.bypass.note(n) {
		s.log.WithError(err).WithField("kind", james.KindOf(err)).Warn("the cache does not take a stream, such streams go out without it")
	}
	return true
}

// direct returns the stream of an order without the cache. It is made as it is read,
// at the pace of who reads it, and cannot be gone on with. It fails with
// james.KindUnavailable where too many are on their way.
func (s *Supply) direct(ctx context.Context, o *order) (*Stream, error) {
	select {
	case s.passing <- struct{}{}:
	default:
		return nil, james.Errorf(james.KindUnavailable, "stream", "%d streams for which the cache has no room are on their way, which is the limit", cap(s.passing)).
			WithHint("Give the cache more room with --cache-size.")
	}
	s.counters.streams.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() { <-s.passing }()
		w.CloseWithError(s.write(ctx, o, atOnce(o.req), w))
	}()
	return &Stream{ReadSeekCloser: &pipe{r, cancel, done}, size: func() (int64, bool) { return 0, false }}, nil
}

// pipe is the reading end of a stream that is made as it is read.
type pipe struct {
	*io.PipeReader
	cancel context.CancelFunc
	done   <-chan struct{}
}

// Close ends the making and waits for it.
func (p *pipe) Close() error {
	p.cancel()
	p.PipeReader.Close()
	<-p.done
	return nil
}

// Seek is for what can be read twice.
func (p *pipe) Seek(int64, int) (int64, error) {
	return 0, james.Errorf(james.KindInvalid, "stream", "it is made as it is read")
}
