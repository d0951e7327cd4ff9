package agent

import (
	"context"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/pkg/james"
)

// report returns what the device says of itself.
func (a *Agent) report() james.DeviceReport {
	return james.DeviceReport{SystemTags: a.tags, Apps: a.o.Installer.Apps(), Revision: a.memory.Revision, Agent: a.o.Version, Drift: a.drift, Waiting: a.memory.Waiting}
}

// poll asks the server for a plan. It sends the whole report where the server
// does not have it, and its digest otherwise.
func (a *Agent) poll(ctx context.Context, known try, hold time.Duration) (james.PollResponse, error) {
	report := a.report()
	digest := report.Digest()
	req := james.PollRequest{Known: known.plan, KnownRevision: known.revision, Wait: int(hold / time.Second)}
	if a.acked == digest {
		req.Same = digest
	} else {
		req.Report = &report
	}
	answer, err := a.ask(ctx, req)
	if err == nil && answer.Resend && req.Report == nil {
		req.Same, req.Report = james.Digest{}, &report
		answer, err = a.ask(ctx, req)
	}
	if err == nil && answer.Resend {
		err = james.Errorf(james.KindUnavailable, "server", "it asks for a report that it was just sent")
	}
	if err != nil {
		return james.PollResponse{}, err
	}
	a.acked, a.polled = digest, answer.Request
	a.link.found()
	a.pace(answer)
	return answer, nil
}

// pace notes when the next poll is due.
func (a *Agent) pace(answer james.PollResponse) {
	a.turn = time.Time{}
	switch {
	case a.o.Interval > 0:
		a.interval = backoff.Spread(a.o.Interval, a.o.Rand)
		return
	case answer.Interval > 0:
		a.interval = min(time.Duration(answer.Interval)*time.Second, maxInterval)
	}
	if answer.Pause > 0 {
		a.turn = a.o.Now().Add(min(answer.Pause, maxInterval))
	}
}

func (a *Agent) ask(ctx context.Context, req james.PollRequest) (james.PollResponse, error) {
	limit := time.Duration(req.Wait)*time.Second + grace
	a.sup.loop.expect(limit + grace)
	ctx, cancel := context.WithTimeoutCause(ctx, limit,
		james.Errorf(james.KindUnavailable, "server", "no answer within %s", limit))
	defer cancel()
	answer, err := a.o.Server.Poll(ctx, req)
	if err != nil {
		return answer, cause(ctx, err)
	}
	return answer, nil
}

// deliver sends the reports that the server has not got. One that the server
// does not want is dropped, as it would not want it the next time either.
func (a *Agent) deliver(ctx context.Context) error {
	for len(a.memory.Pending) > 0 {
		r := a.memory.Pending[0]
		if err := a.send(ctx, r); err != nil {
			if james.KindOf(err) == james.KindNotFound && a.acked.IsZero() {
				return nil // a server that has not heard of the device; the poll comes first
			}
			if !refused(err) {
				return err
			}
			a.o.Log.WithError(err).WithField("plan", r.Plan.Short()).Warn("the server does not take a report")
		}
		a.memory.Pending = a.memory.Pending[1:]
		a.remember()
	}
	return nil
}

func (a *Agent) send(ctx context.Context, r james.Report) error {
	a.sup.loop.expect(2 * grace)
	ctx, cancel := context.WithTimeoutCause(ctx, grace,
		james.Errorf(james.KindUnavailable, "server", "no answer within %s", grace))
	defer cancel()
	if err := a.o.Server.Report(ctx, r); err != nil {
		return cause(ctx, err)
	}
	a.o.Log.WithFields(logrus.Fields{"plan": r.Plan.Short(), "result": r.Result}).Debug("report delivered")
	return nil
}

// refused reports whether the server has understood a report and will never take
// it.
func refused(err error) bool {
	switch james.KindOf(err) {
	case james.KindInvalid, james.KindNotFound, james.KindExists, james.KindConflict, james.KindCorrupt:
		return true
	}
	return false
}

// cause returns why ctx was cancelled, if it was, instead of err, which then
// only says that it was.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}
