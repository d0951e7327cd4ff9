package agent

import (
	"context"
	"math"
	"runtime/debug"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// verify looks whether the files of the installed packets are as those have them,
// if that is due. Where it cannot, what was found before is kept.
func (a *Agent) verify(ctx context.Context) {
	if a.untilVerify() > 0 {
		return
	}
	a.sup.loop.expect(a.o.StepLimit)
	started := a.o.Now()
	changes, err := a.o.Installer.Verify(ctx, txn.Verification{Quick: true})
	if ctx.Err() != nil {
		return
	}
	a.verifyAt = a.o.Now().Add(backoff.Spread(a.o.VerifyInterval, a.o.Rand))
	if err != nil {
		a.settled = a.settled && james.KindOf(err) != james.KindConflict
		a.o.Log.WithError(err).WithField("kind", james.KindOf(err)).Warn("the installed files cannot be verified")
		return
	}
	drift := james.NewDrift(changes)
	log := a.o.Log.WithFields(logrus.Fields{"took": a.o.Now().Sub(started).Round(time.Millisecond)})
	if drift.Equal(a.drift) {
		log.Debug("the installed files are as before")
	} else {
		a.tellDrift(log, drift)
	}
	a.drift = drift
	debug.FreeOSMemory() // a big manifest must not stay resident for an hour
}

func (a *Agent) tellDrift(log logrus.FieldLogger, drift *james.Drift) {
	switch {
	case drift == nil:
		log.Info("all installed files are as their packets have them")
	case drift.Damaged == 0:
		log.WithFields(logrus.Fields{"changes": drift.Count, "drift": drift.String()}).Info("configuration was edited")
	default:
		log.WithFields(logrus.Fields{"changes": drift.Count, "damaged": drift.Damaged, "drift": drift.String()}).
			Warn("installed files are damaged; jamesc verify lists them")
	}
}

// untilVerify returns the time until the next look at the installed files.
func (a *Agent) untilVerify() time.Duration {
	if a.o.VerifyInterval <= 0 {
		return math.MaxInt64
	}
	return max(0, a.verifyAt.Sub(a.o.Now()))
}

// verifySoon makes a look due: something has changed what is installed.
func (a *Agent) verifySoon() { a.verifyAt = time.Time{} }
