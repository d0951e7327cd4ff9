package supply

import (
	"context"
	"io"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// Stream is the bytes of a stream, of which some may still be to come: reading
// waits for them. It is for one goroutine.
type Stream struct {
	io.ReadSeekCloser
	// ETag names the bytes; it is "" where they cannot be had a second time.
	ETag string
	// Saved is what it spares who reads all of it.
	Saved Saved
	size  func() (int64, bool)
}

// Size returns how many bytes of the stream there are, and whether it is all of it.
func (s *Stream) Size() (n int64, whole bool) { return s.size() }

func streamOf(k key, e *cache.Entry) *Stream {
	return &Stream{ReadSeekCloser: e, ETag: k.etag(e), size: e.Size}
}

// Stream returns the stream that answers a valid request: one that is there, or
// one that is being made now. The context ends the reading, not the making.
//
// It fails with james.KindNotFound where a packet is not there or its contents are
// not, and with james.KindInvalid where what is wanted is no file.
func (s *Supply) Stream(ctx context.Context, req *james.BlobsRequest) (*Stream, error) {
	o, err := s.read(ctx, req)
	if err != nil {
		return nil, err
	}
	s.choose(ctx, o)
	stream, err := s.answer(ctx, o)
	if err != nil {
		return nil, err
	}
	stream.Saved = o.saved(s.fleet.Known)
	return stream, nil
}

// answer returns the stream of an order with its patches.
func (s *Supply) answer(ctx context.Context, o *order) (*Stream, error) {
	if k, e := s.find(ctx, o); e != nil {
		s.counters.hits.Add(1)
		s.note(o, k)
		return streamOf(k, e), nil
	}
	return s.make(ctx, o)
}

// find returns the smallest stream of an order that is there, nil where none is.
func (s *Supply) find(ctx context.Context, o *order) (best key, found *cache.Entry) {
	for _, f := range formsFor(o.req) {
		k := o.key(f)
		e, ok := s.cache.Open(ctx, k.String())
		if !ok {
			continue
		}
		size, whole := e.Size()
		if found != nil {
			if known, _ := found.Size(); known <= size {
				whole = false
			}
		}
		if !whole {
			e.Close()
			continue
		}
		if found != nil {
			found.Close()
		}
		best, found = k, e
	}
	return best, found
}

// make makes the stream of an order for a device that waits, or reads along where
// that is being done.
func (s *Supply) make(ctx context.Context, o *order) (*Stream, error) {
	if size := s.estimate(o); size > s.cache.Stats().Limit/2 || s.bypass.has(size) {
		return s.direct(ctx, o)
	}
	f := atOnce(o.req)
	k := o.key(f)
	e, err := s.cache.Fill(ctx, k.String(), func(ctx context.Context, w io.Writer) error {
		s.counters.streams.Add(1)
		var n counter
		err := s.produce(ctx, o, f, io.MultiWriter(w, &n))
		s.refused(err, int64(n))
		return err
	})
	if s.refused(err, 0) {
		return s.direct(ctx, o)
	}
	if err != nil {
		return nil, err
	}
	s.note(o, k)
	return streamOf(k, e), nil
}

// note has a stream that was made quickly made with care, where others want it too.
func (s *Supply) note(o *order, k key) {
	if k == o.key(atOnce(o.req)) && s.ahead.note(o, k) {
		signal(s.queue.wake)
	}
}

// Resume returns the stream of that ETag, if it is still there and holds what req
// wants, and nil otherwise.
func (s *Supply) Resume(ctx context.Context, req *james.BlobsRequest, etag string) *Stream {
	way, id, ok := parseETag(etag)
	if !ok {
		return nil
	}
	k := key{wantsOf(req), way}
	e, ok := s.cache.Open(ctx, k.String())
	if !ok {
		return nil
	}
	if e.ID() != id {
		e.Close()
		return nil
	}
	s.counters.resumed.Add(1)
	stream := streamOf(k, e)
	stream.Saved = s.savedBy(ctx, req, k)
	return stream
}
