package transfer

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// transfer is one Fetch.
type transfer struct {
	f     *Fetcher
	o     *Options
	cache *cache
	order *txn.Order
	log   logrus.FieldLogger
	sync  syncer

	have, total, told int64 // bytes of content
	status            time.Time
	vain              int   // connections in a row that brought nothing
	idle              int   // answers in a row that brought nothing
	last              error // after which there was a way on
	// about is the packet of the content that comes, or came last; nil where that is
	// not known.
	about *james.Packet

	in    *ahead // what arrives now
	meter *meter // of it
	way   way
	trial *trial // nil where there is nothing to choose
	// nearlyAll are the packets of which little was there.
	nearlyAll map[james.Digest]bool
	// noStream and noArchive say that a way does not lead there.
	noStream, noArchive bool
	// whole are the contents that are not to come as patches.
	whole map[james.Digest]bool
	bases map[[2]int]bool // whether a base is what its manifest says
}

// lack is what is not there of the files that are wanted of a packet.
type lack struct {
	*txn.Want
	entries []int
	bytes   int64 // of their contents that a stream would bring
}

// Fetch stores all contents of the order that are not there. What has arrived
// stays whatever happens then. It fails with KindInterrupted when ctx is done.
func (f *Fetcher) Fetch(ctx context.Context, o *txn.Order) error {
	f.unreachable = false
	if f.Missing(o); o.Empty() {
		return nil
	}
	t := &transfer{f: f, o: &f.o, cache: f.cache, order: o, log: f.o.Log, sync: syncer{disk: f.o.State, now: f.o.Now},
		whole: make(map[james.Digest]bool), bases: make(map[[2]int]bool)}
	f.cache.trim(f.o.Limit)
	err := t.run(ctx)
	f.rates.save()
	if lost := t.sync.end(err == nil); lost != nil {
		t.dropAll()
		err = cmp.Or(err, onDisk(lost))
	}
	return err
}

// dropAll drops what is ordered, as the disk may have lost any of it: it reads as it was
// written, but from memory.
func (t *transfer) dropAll() {
	for i := range t.order.Wants {
		w := &t.order.Wants[i]
		for _, k := range w.Entries {
			_ = t.cache.drop(w.Manifest.Entries[k].Digest) // what stays is told as a failure already
		}
	}
}

// run goes on until everything is there, one answer of the server at a time.
func (t *transfer) run(ctx context.Context) error {
	for most := int64(-1); ; {
		lacks, err := t.lacks(ctx)
		if err != nil || len(lacks) == 0 {
			return err
		}
		if most < 0 {
			log := t.log.WithFields(logrus.Fields{"bytes": t.total, "there": t.have})
			log.Info(map[bool]string{true: "resuming the download", false: "downloading"}[t.have > 0])
		}
		if t.idle++; t.have > most {
			most, t.idle = t.have, 0
		}
		if t.idle > maxVain && !t.leaveStream() {
			return t.name(cmp.Or(t.last, error(james.Errorf(james.KindCorrupt, "contents", "the server does not send what is asked for"))))
		}
		if err := t.round(ctx, lacks); err != nil {
			return t.name(err)
		}
	}
}

// name has a failure say which packet it is about, as far as that is known.
func (t *transfer) name(err error) error {
	if t.about == nil {
		return err
	}
	return &txn.PacketError{Packet: t.about, Err: err}
}

// leaveStream has the archive fetched in place of streams that bring nothing. It reports
// whether that is a way on.
func (t *transfer) leaveStream() bool {
	if t.way != byStream || t.noArchive || t.noStream {
		return false
	}
	t.log.WithError(t.last).Warn("the streams of the contents bring nothing, fetching the archive")
	t.noStream, t.idle = true, 0
	return true
}

// lacks returns what is not there, or not sound.
func (t *transfer) lacks(ctx context.Context) ([]lack, error) {
	var all []lack
	t.have, t.total = 0, 0
	for i := range t.order.Wants {
		l := lack{Want: &t.order.Wants[i]}
		for _, k := range l.Entries {
			if ctx.Err() != nil {
				return nil, interrupted(ctx)
			}
			t.o.Expect(diskLimit)
			e := &l.Manifest.Entries[k]
			there, err := t.cache.has(e)
			if err != nil {
				return nil, onDisk(err)
			}
			t.total += e.Size
			if !there {
				l.bytes += e.Size
				if len(l.entries) == 0 {
					l.bytes -= t.cache.partial(e)
				}
				l.entries = append(l.entries, k)
			}
			if b := t.cache.blobs[e.Digest]; b != nil {
				t.have += b.size
			}
		}
		if len(l.entries) > 0 {
			all = append(all, l)
		}
	}
	t.told = max(t.told, t.have)
	return all, nil
}

// interrupted says that ctx is done.
func interrupted(ctx context.Context) error {
	return james.Errorf(james.KindInterrupted, "", "stopped: %w", context.Cause(ctx))
}

// round has one answer sent, and decides how to go on after a failure. It returns
// an error where there is no way on.
func (t *transfer) round(ctx context.Context, lacks []lack) error {
	chosen, err := t.choose(ctx, lacks)
	if err != nil {
		return err
	}
	t.way = chosen
	if chosen == byArchive {
		of := t.archived(lacks)
		t.about = of.Packet
		err = t.fromArchive(ctx, of)
	} else {
		if t.about = nil; len(lacks) == 1 {
			t.about = lacks[0].Packet
		}
		err = t.fromStream(ctx, lacks)
	}
	if err == nil {
		t.f.unreachable = false
		return nil
	}
	if ctx.Err() != nil {
		return interrupted(ctx)
	}
	t.last = err
	return t.after(err)
}

// after returns nil where there is a way on after err.
func (t *transfer) after(err error) error {
	var own *diskError
	kind := james.KindOf(err)
	log := t.log.WithError(err).WithField("kind", kind)
	switch {
	case errors.Is(err, errSwitch):
		t.way = t.trial.turn(t.way)
		t.log.WithField("way", t.way).Info("the other way is quicker")
		return nil
	case errors.As(err, &own), kind == james.KindDenied, kind == james.KindUnauthenticated:
		return err
	case kind == james.KindCorrupt && t.f.doubt():
		log.Info("fetching from elsewhere what came as something else")
		return nil
	case t.way == byStream && kind == james.KindConflict:
		// The server made another stream; it is asked for what is still missing.
		log.Info("the stream is gone, asking for another one")
		return nil
	case t.way == byStream && !t.noArchive:
		t.noStream = true
		if kind == james.KindNotFound { // an earlier version, or not ready yet
			log.Debug("there is no stream of the contents, fetching the archive")
			return nil
		}
		log.Warn("no stream of the contents, fetching the archive")
		return nil
	case t.way == byArchive && !t.noStream && (kind == james.KindCorrupt || kind == james.KindConflict || kind == james.KindNotFound):
		t.noArchive = true
		log.Warn("no archive, fetching a stream of the contents")
		return nil
	}
	return err
}

// arrived counts what came from the network. It fails with errSwitch where the
// rest comes sooner the other way.
func (t *transfer) arrived(ctx context.Context, n int) error {
	if err := t.o.Throttle(ctx, n); err != nil {
		return err
	}
	if t.trial.decide(t) {
		return errSwitch
	}
	return nil
}

// starved reports whether what comes next has to be waited for.
func (t *transfer) starved() bool { return t.in.Starved() }

// use gives room free for a part of a file that is stored next.
func (t *transfer) use(n int64) {
	if t.order.Use != nil {
		t.order.Use(n)
	}
}

// stored counts content that was stored.
func (t *transfer) stored(n int64) {
	t.meter.decoded(n)
	t.have += n
	if t.have > t.told {
		t.told = t.have
		t.o.Progress(t.told, t.total)
	}
	if now := t.o.Now(); now.Sub(t.status) > statusEvery && t.total > 0 {
		t.status = now
		t.o.Status("downloading, %d %%", 100*t.told/t.total)
	}
}

// statusEvery is the time between two signs of progress to the service manager.
const statusEvery = 5 * time.Second
