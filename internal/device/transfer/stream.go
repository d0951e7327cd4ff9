package transfer

import (
	"context"
	"errors"
	"io"
	"slices"

	"github.com/trusch/jamesd/internal/stream"
	"github.com/trusch/jamesd/pkg/james"
)

// fromStream stores what is lacking from a stream.
func (t *transfer) fromStream(ctx context.Context, lacks []lack) error {
	req := t.request(lacks)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	t.meter = newMeter(t.o.Now)
	b := &body{t: t, ctx: ctx, name: "stream of contents", size: -1}
	b.open = t.opener(b, req)
	in := readAhead(cancel, b)
	t.in = in
	s := &streaming{t: t, lacks: lacks, req: req, in: stream.NewReader(in)}
	err := s.all()
	broke := in.failure()
	in.Close()
	_ = s.in.Close() // it always succeeds
	if decoder := decoders[s.in.Codec()]; decoder != "" {
		t.f.rates.learn(t.meter, decoder, t.trial != nil && t.trial.exact)
	}
	if broke != nil && err != nil && !isOnDisk(err) {
		return broke
	}
	return err
}

// opener returns what opens the stream at an offset. The first answer tells which
// stream it is.
func (t *transfer) opener(b *body, req james.BlobsRequest) func(ctx context.Context, offset int64) (io.ReadCloser, error) {
	etag := ""
	return func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		if offset > 0 && etag == "" {
			return nil, james.Errorf(james.KindConflict, "stream of contents", "it has no name by which it could go on")
		}
		s, err := t.o.Server.Blobs(ctx, req, etag, offset)
		if err != nil {
			return nil, err
		}
		etag, b.size = s.ETag, s.Size
		t.trial.sized(s.Size)
		return s, nil
	}
}

// decoders are what decodes a stream. Which one it is, the stream says: a request only
// says whether it may be in xz, and a site's cache has what others have asked for.
var decoders = map[stream.Codec]string{stream.Zstd: streamZstd, stream.XZ: streamXz}

// decodedBy notes what decodes the stream that comes.
func (r *trial) decodedBy(decoder string) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.decoder = decoder
	}
}

// sized notes how large the stream is.
func (r *trial) sized(n int64) {
	if r != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.size = n
	}
}

// request asks for what is lacking. The first content of each packet goes on where
// it was cut off.
func (t *transfer) request(lacks []lack) james.BlobsRequest {
	var req james.BlobsRequest
	var bytes int64
	for _, l := range lacks {
		w := james.Wants{Packet: l.Packet.Digest, Entries: james.IndicesOf(l.entries...)}
		var whole []int
		for _, k := range l.entries {
			if t.whole[l.Manifest.Entries[k].Digest] {
				whole = append(whole, k)
			}
		}
		w.Whole = james.IndicesOf(whole...)
		w.Offset = t.cache.partial(&l.Manifest.Entries[slices.Min(l.entries)])
		bytes += l.bytes
		req.Packets = append(req.Packets, w)
	}
	for i := range min(len(t.order.Have), james.MaxHave) {
		req.Have = append(req.Have, t.order.Have[i].App.Digest)
	}
	req.Fast = t.wantsFast(bytes)
	req.XZ = t.wantsXz(packing*float64(bytes), bytes)
	if t.trial != nil {
		req.XZ = t.trial.xz
	}
	return req
}

// streaming stores the contents of a stream, each of which comes in one piece or more.
type streaming struct {
	t     *transfer
	lacks []lack
	req   james.BlobsRequest
	in    *stream.Reader

	packet, entry int // of the content that comes
	w             *writer
}

// all stores all contents of the stream.
func (s *streaming) all() error {
	s.packet = -1
	for {
		head, err := s.in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			s.t.trial.decodedBy(decoders[s.in.Codec()])
			err = s.piece(head)
		}
		if err != nil {
			return errors.Join(err, s.leave())
		}
	}
	return s.finish()
}

// piece stores one piece.
func (s *streaming) piece(h stream.Head) error {
	if s.packet != h.Packet || s.entry != h.Entry {
		if err := s.finish(); err != nil {
			return err
		}
		if err := s.begin(h); err != nil {
			return err
		}
	}
	switch {
	case s.w == nil: // it is asked for again
		return nil
	case h.Offset != s.w.blob.size || h.Size > s.w.e.Size-h.Offset:
		return james.Errorf(james.KindCorrupt, s.w.e.Path.String(), "the stream has %d bytes from %d on, and it is there up to %d of %d", h.Size, h.Offset, s.w.blob.size, s.w.e.Size)
	case h.Base != nil:
		return s.patch(h)
	}
	return s.w.take(s.in.Whole())
}

// begin opens the file of the content that comes next.
func (s *streaming) begin(h stream.Head) error {
	s.packet, s.entry = h.Packet, h.Entry
	if h.Packet >= len(s.lacks) {
		return james.Errorf(james.KindCorrupt, "stream of contents", "it has a content of packet %d of %d", h.Packet, len(s.lacks))
	}
	l := s.lacks[h.Packet]
	s.t.about = l.Packet
	at, wanted := slices.BinarySearch(l.entries, h.Entry)
	if !wanted {
		return james.Errorf(james.KindCorrupt, "stream of contents", "it has entry %d of %s, which is not wanted", h.Entry, l.Packet.Name)
	}
	var offset int64
	if at == 0 {
		offset = s.req.Packets[h.Packet].Offset
	}
	e := &l.Manifest.Entries[h.Entry]
	var err error
	if s.w, err = s.t.open(e, offset, false); err != nil && offset > 0 {
		// The disk does not give back what is there: all of the content is asked for again.
		s.t.log.WithError(err).WithField("path", e.Path.String()).Info("fetching a content anew of which a part cannot be read")
		return onDisk(s.t.cache.drop(e.Digest))
	}
	return err
}

// patch stores a piece that is a patch. Where its base is not as it must be, the
// content is asked for whole.
func (s *streaming) patch(h stream.Head) error {
	base, err := s.t.base(h.Base)
	if err != nil {
		return err
	}
	if base == nil {
		return s.giveUp()
	}
	defer base.Close()
	err = s.w.take(s.in.Patch(base))
	if err != nil && !isOnDisk(err) {
		s.t.log.WithError(err).WithField("path", s.w.e.Path.String()).Info("a patch does not fit, fetching the file whole")
		return s.giveUp()
	}
	return err
}

// giveUp has the content that comes asked for again, whole.
func (s *streaming) giveUp() error {
	s.t.whole[s.w.e.Digest] = true
	return s.leave()
}

// leave closes the file of the content that comes, such as it is.
func (s *streaming) leave() error {
	if s.w == nil {
		return nil
	}
	w := s.w
	s.w = nil
	return onDisk(w.file.Close())
}

// finish ends the content that came. One that is another than it must be is asked
// for again, whole, once.
func (s *streaming) finish() error {
	if s.w == nil || s.w.blob.size < s.w.e.Size { // the rest is asked for again
		return s.leave()
	}
	w, again := s.w, s.t.whole[s.w.e.Digest] && s.w.from == 0
	s.w = nil
	err := w.end(nil)
	var other *unlike
	if !errors.As(err, &other) || again {
		return err
	}
	s.t.whole[w.e.Digest] = true
	s.t.log.WithError(err).Warn("fetching a content anew")
	return nil
}
