package agent

import (
	"math"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

// MeteredTag is the system tag of a device whose link is paid for by the byte.
const MeteredTag = "metered"

// waits returns why the job cannot go on now, nil where it can. What the desired
// state says of the windows wins over what the settings say.
func (a *Agent) waits(j *job) *james.Waiting {
	w := &james.Waiting{Plan: j.plan.ID, Revision: j.plan.Revision}
	if j.ready {
		w.For, w.Window = james.WaitApply, j.plan.Apply.Or(a.o.Apply)
	} else {
		w.For, w.Window = james.WaitDownload, j.plan.Download.Or(a.o.Download)
		switch {
		case j.plan.Urgent:
			return nil
		case a.isMetered():
			w.For, w.Window = james.WaitLink, james.Window{}
			return w
		}
	}
	if open, _ := w.Window.At(a.o.Now()); open {
		return nil
	}
	return w
}

// isMetered reports whether the link is paid for by the byte.
func (a *Agent) isMetered() bool { return a.o.Metered || a.tags.Has(MeteredTag) }

// untilTurn returns how long it takes until a window lets the job go on, or not any
// more.
func (a *Agent) untilTurn() time.Duration {
	if a.job == nil {
		return math.MaxInt64
	}
	window := a.job.plan.Download.Or(a.o.Download)
	if a.job.ready {
		window = a.job.plan.Apply.Or(a.o.Apply)
	}
	now := a.o.Now()
	if _, until := window.At(now); !until.IsZero() {
		return until.Sub(now)
	}
	return math.MaxInt64
}

// due reports whether the job can be moved on.
func (a *Agent) due() bool {
	switch {
	case a.job == nil || !a.settled && !a.busy():
		return false
	case a.busy() && a.job.fetching.over():
		return true
	}
	return a.busy() == (a.waits(a.job) != nil)
}

// wait notes what the device waits for, nil for nothing.
func (a *Agent) wait(w *james.Waiting) {
	if w != nil {
		a.sup.status("revision %d is %s", w.Revision, w)
	}
	if w.Equal(a.memory.Waiting) {
		return
	}
	a.memory.Waiting = w
	a.remember()
	if w != nil {
		a.o.Log.WithFields(logrus.Fields{"plan": w.Plan.Short(), "revision": w.Revision, "for": w.For, "window": w.Window.String()}).Info("a plan waits")
	}
}
