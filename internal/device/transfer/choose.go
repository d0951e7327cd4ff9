package transfer

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// way is how contents come.
type way string

const (
	byArchive way = "archive"
	byStream  way = "stream"
)

// errSwitch ends an answer whose rest comes sooner the other way.
var errSwitch = errors.New("the other way is quicker")

const (
	// smallOrder is the content for which choosing takes longer than it saves, in bytes.
	smallOrder = 64 << 10
	// firstLook is when it is decided first, by the time or by the bytes that came;
	// nextLook is the time between two decisions after that, lastLook when it stays
	// with the last.
	firstLook      = 300 * time.Millisecond
	firstLookBytes = 256 << 10
	nextLook       = 300 * time.Millisecond
	lastLook       = 20 * time.Second
	// A way must be better by so much that the other is left for it; and it is left
	// so often at most.
	better   = 1.15
	overhead = 200 * time.Millisecond
	maxTurns = 3
	// slowServer is what any server makes of a stream in a second, in bytes: one that
	// comes slower does so because of the link.
	slowServer = 64e3
	// fastLink is the link, in bytes in a second, from which on a server does not keep
	// up with compressing what it sends.
	fastLink = 10e6
	// fastOrder is the content for which waiting for that is noticed, in bytes.
	fastOrder = 8 << 20
	// packing is how much smaller a stream is than its contents where nobody knows.
	packing = 0.3
)

// cost is what is still to be done on a way.
type cost struct {
	bytes   float64 // on the wire
	content float64 // to decode, compare and write
	decoder string
}

// takes returns the seconds that it takes: what arrives is decoded while more does.
func (c cost) takes(link, decode float64) float64 {
	return max(c.bytes/link, c.content/decode)
}

// trial compares the two ways of getting the files of packets of which nearly
// nothing is there.
type trial struct {
	mu    sync.Mutex
	turns int
	next  time.Time // when it is decided again; zero before the first time
	end   time.Time

	archives, content int64 // bytes of the archives, and of all files in them
	format            string
	lacks             int64 // bytes of the contents that are wanted
	stream            int64 // bytes of the stream that has them, as far as that is known
	exact             bool
	xz                bool
	alone             bool // the stream has nothing else

	// Of the answer that arrives now: the content that was lacking when it began.
	lacked  int64
	size    int64  // of the stream, -1 where it is not known
	decoder string // of the stream, "" where it is not known
}

// turn returns the other way.
func (r *trial) turn(from way) way {
	r.turns++
	if from == byArchive {
		return byStream
	}
	return byArchive
}

// archived returns the packet whose archive is fetched next.
func (t *transfer) archived(lacks []lack) lack {
	if whole := t.fresh(lacks); len(whole) > 0 {
		return whole[0]
	}
	return lacks[0]
}

// fresh returns the packets of which nearly all was lacking when the transfer began,
// so that the archive may be the cheaper way.
func (t *transfer) fresh(lacks []lack) []lack {
	first := t.nearlyAll == nil
	if first {
		t.nearlyAll = make(map[james.Digest]bool)
	}
	var all []lack
	for _, l := range lacks {
		if first && 10*l.bytes >= 9*contentOf(l.Manifest) && !l.Packet.Archive.Digest.IsZero() {
			t.nearlyAll[l.Packet.Digest] = true
		}
		if t.nearlyAll[l.Packet.Digest] {
			all = append(all, l)
		}
	}
	return all
}

func contentOf(m *james.Manifest) (n int64) {
	for k := range m.Entries {
		if m.Entries[k].Type == james.TypeFile {
			n += m.Entries[k].Size
		}
	}
	return n
}

// choose returns the way for what is lacking.
func (t *transfer) choose(ctx context.Context, lacks []lack) (way, error) {
	fresh := t.fresh(lacks)
	var bytes int64
	for _, l := range lacks {
		bytes += l.bytes
	}
	switch {
	case t.noStream:
		t.trial = nil
		return byArchive, nil
	case t.noArchive, len(fresh) == 0, bytes < smallOrder && t.way == "":
		t.trial = nil
		return byStream, nil
	}
	first := t.trial == nil
	if first {
		t.trial = &trial{}
		if err := t.ask(ctx, fresh); err != nil || t.noStream {
			return byArchive, err
		}
	}
	t.trial.count(fresh, len(lacks))
	if first {
		t.way = t.trial.first(t.f.rates)
		t.log.WithField("way", t.way).Debug("fetching contents")
	}
	return t.way, nil
}

// ask has the server say what a stream would take.
func (t *transfer) ask(ctx context.Context, fresh []lack) error {
	r := t.trial
	for _, l := range fresh {
		r.lacks += l.bytes
	}
	r.xz = t.wantsXz(packing*float64(r.lacks), r.lacks)
	t.o.Expect(answerLimit)
	offer, err := t.o.Server.OfferBlobs(ctx, t.request(fresh))
	switch kind := james.KindOf(err); {
	case ctx.Err() != nil:
		return interrupted(ctx)
	case kind == james.KindDenied, kind == james.KindUnauthenticated:
		return err
	case err != nil && !kind.Retryable():
		t.noStream = true // a server that knows no streams, or not of these contents
		t.log.WithError(err).Debug("no stream is offered, fetching the archive")
		return nil
	}
	r.stream, r.exact = offer.Size, offer.Exact
	if offer.Size <= 0 {
		r.stream = int64(packing * float64(r.lacks))
	}
	return nil
}

// wantsXz reports whether decoding xz keeps up with the link.
func (t *transfer) wantsXz(bytes float64, content int64) bool {
	link := t.f.rates.Link
	return link > 0 && float64(content)/t.f.rates.decode(streamXz) < bytes/link
}

// wantsFast reports whether a stream is to be sent at once, though it be larger.
func (t *transfer) wantsFast(content int64) bool {
	return t.f.rates.Link >= fastLink && content >= fastOrder && !t.o.Metered()
}

// count notes what is to be done on either way from now on.
func (r *trial) count(fresh []lack, packets int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.archives, r.content, r.lacked = 0, 0, 0
	for _, l := range fresh {
		r.archives += l.Packet.Archive.Size
		r.content += contentOf(l.Manifest)
		r.format = l.Packet.Archive.Format
		r.lacked += l.bytes
	}
	r.alone, r.size, r.decoder = len(fresh) == packets, -1, ""
	r.next, r.end = time.Time{}, time.Time{}
}

// first chooses by what is remembered. Where the link is not known yet, the fewest
// bytes are the way to begin.
func (r *trial) first(known *rates) way {
	archive, stream := r.costs(byArchive, 0, 0)
	switch {
	case known.Link == 0 && stream.bytes <= archive.bytes:
		return byStream
	case known.Link == 0:
		return byArchive
	case archive.takes(known.Link, known.decode(archive.decoder)) <= stream.takes(known.Link, known.decode(stream.decoder)):
		return byArchive
	}
	return byStream
}

// costs returns what is left on both ways when bytes of the one that is gone have
// arrived, and content was stored from them.
func (r *trial) costs(going way, bytes, content int64) (archive, stream cost) {
	archive = cost{float64(r.archives), float64(r.content), r.format}
	if stream.decoder = r.decoder; r.decoder == "" {
		stream.decoder = map[bool]string{true: streamXz, false: streamZstd}[r.xz]
	}
	stream.content = float64(max(0, r.lacked-content))
	stream.bytes = float64(r.stream) * stream.content / float64(max(1, r.lacks))
	if going == byArchive && r.archives > 0 {
		share := max(0, 1-float64(bytes)/float64(r.archives))
		archive.bytes *= share
		archive.content *= share
		stream.bytes = max(stream.bytes, share*float64(r.stream)) // what is left may compress least
	}
	if going == byStream && r.size >= 0 {
		stream.bytes = float64(max(0, r.size-bytes))
	}
	return archive, stream
}

// decide reports whether the transfer is to turn to the other way.
func (r *trial) decide(t *transfer) bool {
	if r == nil || r.turns >= maxTurns || t.way == byStream && !r.alone || t.way == byArchive && t.noStream {
		return false
	}
	took, bytes := t.meter.elapsed()
	now := t.o.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.next.IsZero():
		if took < firstLook && bytes < firstLookBytes {
			return false
		}
		r.end = now.Add(lastLook)
	case now.Before(r.next), now.After(r.end):
		return false
	}
	r.next = now.Add(nextLook)
	return r.worse(t.way, t.meter, t.f.rates, bytes)
}

// worse reports whether the way that is gone takes longer than the other.
func (r *trial) worse(going way, m *meter, known *rates, bytes int64) bool {
	link := m.link()
	if link == 0 {
		return false
	}
	archive, stream := r.costs(going, bytes, m.stored())
	this, other, otherLink := archive, stream, link
	if going == byStream {
		this, other = stream, archive
		if link > slowServer {
			// It may still be making the stream: the archive would not wait for it.
			otherLink = max(link, known.Link)
		}
	}
	decode := m.decode()
	if decode == 0 {
		decode = known.decode(this.decoder)
	}
	guess := known
	if m.decode() > 0 {
		guess = known.with(this.decoder, decode)
	}
	now, then := this.takes(link, decode), other.takes(otherLink, guess.decode(other.decoder))
	return now > better*then+overhead.Seconds()
}
