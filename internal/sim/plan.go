package sim

import (
	"context"
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/pkg/james"
)

// retryLimit is the longest time after which a plan that failed is tried again, that
// of jamesc.
const retryLimit = 6 * time.Hour

// carryOut does with a plan what an agent does, but for the device: it downloads what
// the plan brings, takes its time, and has a report ready of how that went. It fails
// where the download did.
func (d *device) carryOut(ctx context.Context, plan *james.Plan) error {
	begun := time.Now()
	if err := d.download(ctx, plan); err != nil {
		return err
	}
	if err := backoff.Sleep(ctx, backoff.Spread(d.fleet.s.applyTime, d.fleet.rand)); err != nil {
		return err
	}
	d.stuck = try{}
	r := &james.Report{Plan: plan.ID, Revision: plan.Revision, Result: james.Committed, Started: begun.UTC(), Attempts: 1}
	if d.role == failing {
		d.fail(plan, r)
	} else {
		d.commit(plan)
	}
	r.Ended = time.Now().UTC()
	d.pending = r
	return nil
}

// commit makes what the plan installs and uninstalls what is installed.
func (d *device) commit(plan *james.Plan) {
	apps := slices.Clone(d.apps) // those of before are shared by devices
	for i := range plan.Steps {
		s := &plan.Steps[i]
		apps = slices.DeleteFunc(apps, func(a james.App) bool { return a.Name == s.Name() })
		if s.New != nil {
			apps = append(apps, s.New.App())
		}
	}
	d.apps, d.revision, d.failure = sorted(apps), plan.Revision, nil
	d.m.committed.Add(1)
}

// fail has the plan fail in its last script and undone.
func (d *device) fail(plan *james.Plan, r *james.Report) {
	now := try{plan.ID, plan.Revision}
	if f := d.failure; f != nil && f.try == now {
		r.Attempts = f.attempts + 1
	}
	retry := backoff.Backoff{First: d.fleet.s.retryFirst, Limit: retryLimit, Rand: d.fleet.rand}
	d.failure = &failure{now, r.Attempts, time.Now().Add(retry.After(r.Attempts))}
	r.Result, r.Kind, r.RetryAt = james.RolledBack, james.KindConflict, d.failure.retryAt.UTC()
	r.App, r.Script = plan.Steps[len(plan.Steps)-1].Name(), james.Postinst
	r.Error, r.Output = "exit status 1", "simulated: this device lets every plan fail\n"
	d.m.undone.Add(1)
}
