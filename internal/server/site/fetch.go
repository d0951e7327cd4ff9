package site

import (
	"cmp"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// How a fetch goes on over a link that breaks.
const (
	// maxVain is how many connections in a row may bring nothing. As long as nothing
	// has come at all, the device may as well ask jamesd itself.
	maxVain    = 6
	firstPause = 500 * time.Millisecond
	maxPause   = 30 * time.Second
	// unread is for how long a fetch goes on that nobody reads: the device may come back,
	// or another that wants the same; but the link is for those who wait.
	unread = 2 * time.Minute
)

// from returns the bytes of one answer of jamesd from offset on.
type from func(ctx context.Context, offset int64) (io.ReadCloser, error)

// fetch copies an answer of jamesd, over as many connections as it takes. key is what
// it is kept under.
func (s *Site) fetch(ctx context.Context, key string, d *download, open from) error {
	for vain := 0; ; {
		before := d.have
		err := d.connect(ctx, open)
		if errors.Is(d.wrote, cache.ErrNoRoom) {
			s.large.add(key, s.o.Now())
		}
		if d.wrote != nil || err == nil {
			return d.wrote
		}
		if vain++; d.have > before {
			vain = 1
		}
		if !james.KindOf(err).Retryable() || ctx.Err() != nil || vain > maxVain || d.have == 0 {
			return err
		}
		pause := min(firstPause<<(vain-1), maxPause)
		if s.o.Sleep(ctx, time.Duration((0.5+s.o.Rand())*float64(pause))) != nil {
			return err
		}
	}
}

// download is one answer on its way into the cache.
type download struct {
	s     *Site
	entry io.Writer // in the cache
	w     io.Writer // to it, and to whatever else wants the bytes
	have  int64
	wrote error // why the cache does not take more
}

// connect copies what one connection brings.
func (d *download) connect(ctx context.Context, open from) error {
	body, err := open(ctx, d.have)
	if err = d.s.link.note(err); err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(d, body)
	return err
}

func (d *download) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	d.have += int64(n)
	d.s.bytes.Add(int64(n))
	if err == nil && cache.Unread(d.entry) > unread {
		err = james.Errorf(james.KindInterrupted, "fetch", "nobody wants it any more")
	}
	d.wrote = err
	return n, err
}

// stream returns what opens the answer to req. The first time it writes its head. A
// stream to which jamesd gives no name has one among the site's devices; a link that
// breaks ends it.
func (d *download) stream(central Central, req james.BlobsRequest) from {
	etag, begun := "", false
	return func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		body, err := central.Blobs(ctx, req, etag, offset)
		switch {
		case err != nil:
			return nil, err
		case begun:
			return body, nil
		}
		etag, begun = body.ETag, true
		name := cmp.Or(etag, `"`+d.s.o.Name()+`"`)
		if d.wrote = (head{name, body.Size}).write(d.w); d.wrote != nil {
			body.Close()
			return nil, d.wrote
		}
		return body, nil
	}
}

// large remembers what the cache had no room for.
type large struct {
	mu    sync.Mutex
	until map[string]time.Time
}

// keepAway is how long something that had no room is not tried to be kept again.
const keepAway = 10 * time.Minute

func (l *large) add(key string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, until := range l.until {
		if now.After(until) {
			delete(l.until, k)
		}
	}
	l.until[key] = now.Add(keepAway)
}

// tooLarge reports whether something of that size is not to be kept.
func (s *Site) tooLarge(key string, size int64) bool {
	if size >= s.o.Cache.Stats().Limit {
		return true
	}
	s.large.mu.Lock()
	defer s.large.mu.Unlock()
	return s.o.Now().Before(s.large.until[key])
}
