package supply

import (
	"context"
	"io"
	"reflect"
	"slices"
	"sync"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

const (
	// many is how many devices want a stream that is worth being made with care.
	many = 2
	// maxAhead bounds the streams that wait to be made with care, maxCounted those
	// whose requests are counted.
	maxAhead   = 32
	maxCounted = 1000
	// aheadShare is the part of the cache that a stream which nobody waits for may
	// take, as its inverse.
	aheadShare = 8
)

// ahead is the requests whose streams are to be made as small as it gets.
type ahead struct {
	mu        sync.Mutex
	asked     []*james.BlobsRequest // that several devices have sent, or are going to
	predicted []*james.BlobsRequest // that several devices are going to send
	count     map[string]int        // how often each was answered, by its key
	wanted    map[james.Digest]int  // devices that are to install a packet
}

func newAhead() *ahead { return &ahead{count: make(map[string]int)} }

// note counts a request that was answered with a stream that was made quickly. It
// reports whether it is one that others are going to send, too, and remembers it.
func (a *ahead) note(o *order, k key) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.count) >= maxCounted {
		clear(a.count)
	}
	a.count[k.String()]++
	if a.count[k.String()] < many && !a.isWanted(o.req) {
		return false
	}
	a.count[k.String()] = 0
	if len(a.asked) < maxAhead && !slices.ContainsFunc(a.asked, func(other *james.BlobsRequest) bool { return reflect.DeepEqual(other, o.req) }) {
		a.asked = append(a.asked, o.req)
	}
	return true
}

// isWanted reports whether several devices are to install each packet of a request.
func (a *ahead) isWanted(req *james.BlobsRequest) bool {
	return !slices.ContainsFunc(req.Packets, func(w james.Wants) bool { return a.wanted[w.Packet] < many })
}

// plan takes over what devices need.
func (a *ahead) plan(wanted map[james.Digest]int, predicted []*james.BlobsRequest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.wanted, a.predicted = wanted, predicted
}

// next takes the next request.
func (a *ahead) next() *james.BlobsRequest {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, list := range []*[]*james.BlobsRequest{&a.asked, &a.predicted} {
		if len(*list) > 0 {
			req := (*list)[0]
			*list = (*list)[1:]
			return req
		}
	}
	return nil
}

// makeAhead makes the next stream that several devices want, as small as it gets. It
// reports whether there was any. What cannot be made now may be made when it is
// asked for.
func (s *Supply) makeAhead(ctx context.Context) bool {
	req := s.ahead.next()
	if req == nil {
		return false
	}
	o, err := s.read(ctx, req)
	if err != nil {
		return true
	}
	s.choose(ctx, o)
	if s.estimate(o) > s.cache.Stats().Limit/aheadShare {
		return true
	}
	for _, f := range formsFor(req) {
		if f.options.Level != stream.Best {
			continue
		}
		if err := s.makeForm(ctx, o, f); err != nil && ctx.Err() == nil {
			s.log.WithError(err).WithField("kind", james.KindOf(err)).WithField("form", f.name).Warn("stream not made ahead")
		}
	}
	return true
}

func (s *Supply) makeForm(ctx context.Context, o *order, f form) error {
	e, err := s.cache.Fill(ctx, o.key(f).String(), func(ctx context.Context, w io.Writer) error {
		yield()
		err := s.write(ctx, o, f, w)
		if err == nil {
			s.counters.ahead.Add(1)
		}
		return err
	})
	if err != nil {
		return err
	}
	defer e.Close()
	return e.Wait()
}

// predict returns what a device is going to ask for that has this need: all contents
// that it has nowhere, each once, with what it has of what the packets are related
// to. It returns nil where that cannot be told.
func (s *Supply) predict(ctx context.Context, need *fleet.Need) *james.BlobsRequest {
	req, there := &james.BlobsRequest{}, make(map[james.Digest]bool)
	for _, app := range need.Installed {
		if s.fleet.Known(app.Digest) == nil {
			return nil
		}
		m, err := s.manifests.get(ctx, app.Digest)
		if err != nil {
			return nil
		}
		for i := range m.Entries {
			there[m.Entries[i].Digest] = true
		}
	}
	for i := range need.Plan.Steps {
		new := need.Plan.Steps[i].New
		if new == nil {
			continue
		}
		m, err := s.manifests.get(ctx, new.Digest)
		if err != nil || s.hasContents(new.Digest) != nil {
			return nil
		}
		var entries []int
		for k := range m.Entries {
			if e := &m.Entries[k]; e.Type == james.TypeFile && e.Size > 0 && !there[e.Digest] {
				entries = append(entries, k)
				there[e.Digest] = true
			}
		}
		if len(entries) > 0 {
			req.Packets = append(req.Packets, james.Wants{Packet: new.Digest, Entries: james.IndicesOf(entries...)})
		}
	}
	for _, p := range s.pairsOf(need) {
		if !slices.Contains(req.Have, p.old) {
			req.Have = append(req.Have, p.old)
		}
	}
	if len(req.Packets) == 0 || req.Validate() != nil {
		return nil
	}
	return req
}
