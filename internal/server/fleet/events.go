package fleet

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

// MaxEvents is the largest number of events that are listed at once.
const MaxEvents = 1000

// Events returns the oldest limit events after the one numbered after, in order.
// A limit out of 1 to MaxEvents means MaxEvents.
//
// Where there is none it waits for one up to wait, at most james.MaxWait, whichever
// jamesd on the store appends it, and then returns none.
func (f *Fleet) Events(ctx context.Context, after uint64, limit int, wait time.Duration) ([]james.Event, error) {
	if limit < 1 || limit > MaxEvents {
		limit = MaxEvents
	}
	if wait <= 0 {
		return f.o.Store.ListEvents(ctx, after, limit)
	}
	defer f.watch.enter(after)()
	timer := time.NewTimer(min(wait, james.MaxWait))
	defer timer.Stop()
	for over := f.isDrained(); ; {
		more := f.watch.told() // before it looks, lest it misses what comes meanwhile
		events, err := f.o.Store.ListEvents(ctx, after, limit)
		if err != nil || len(events) > 0 || over {
			return events, err
		}
		select {
		case <-more:
		case <-timer.C:
			over = true
		case <-f.drained:
			over = true
		case <-ctx.Done():
			return nil, james.Errorf(james.KindInterrupted, "events", "waiting for them was stopped: %w", context.Cause(ctx))
		}
	}
}

// eventTimeout is for writing an event after what it tells of, when the caller
// may be gone.
const eventTimeout = 5 * time.Second

// event logs and stores what has happened. What it tells of is durable already,
// so a store that fails now loses the event and not the operation.
func (f *Fleet) event(ctx context.Context, e james.Event) {
	e.Time = f.now()
	log := f.o.Log.WithFields(logrus.Fields{"event": e.Kind, "actor": e.Actor})
	if id, ok := ctx.Value(requestKey{}).(string); ok {
		log = log.WithField("request", id)
	}
	if e.Device != "" {
		log = log.WithField("device", e.Device)
	}
	if e.Packet != "" {
		log = log.WithField("packet", e.Packet)
	}
	log.WithField("text", e.Text).Info("fleet event")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), eventTimeout)
	defer cancel()
	if _, err := f.o.Store.AppendEvent(ctx, e); err != nil {
		log.WithError(err).WithField("kind", james.KindOf(err)).Warn("event is lost")
		return
	}
	f.watch.tell()
}

type requestKey struct{}

// WithRequest returns a context in which the events of the request of that id are
// logged with it.
func WithRequest(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestKey{}, id)
}
