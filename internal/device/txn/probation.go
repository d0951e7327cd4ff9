package txn

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// ErrOnProbation is in the chain of the error that Apply and Recover return when
// ctx ended while a transaction was on probation: it is neither committed nor
// undone, and the next Recover goes on with it.
var ErrOnProbation = errors.New("the change is done and on probation, and the next start goes on with that")

// maxProbations is how often a transaction may be on probation when the device or
// the agent stops: one that makes them stop must not be tried for ever.
const maxProbations = 3

// finish ends a transaction whose steps are all done: it is put on probation,
// where there is something to be proved, and then committed or undone.
func (t *txn) finish(ctx context.Context) (*james.Report, error) {
	err := t.prove(ctx)
	if errors.Is(err, ErrOnProbation) {
		return nil, err
	}
	if err != nil {
		t.failed = t.failure(err)
		return t.undoAll(ctx), nil
	}
	return t.commit(ctx), nil
}

// prove runs the health checks of what the plan brought, in its order, and then
// has the caller confirm. That it begins is noted first, so that a device that
// stops now goes on with it.
func (t *txn) prove(ctx context.Context) error {
	checks := t.checks()
	if len(checks) == 0 && t.i.Confirm == nil {
		return nil
	}
	t.probation++
	if err := t.record(&record{Probation: t.probation}); err != nil {
		return err
	}
	log := t.log.WithFields(logrus.Fields{"checks": len(checks), "probation": t.probation})
	log.Debug("on probation")
	if t.i.OnProbation != nil {
		t.i.OnProbation(t.plan, t.longest(checks))
	}
	for _, n := range checks {
		if err := t.check(ctx, n); err != nil {
			return &stepError{t.steps[n], err}
		}
	}
	if t.i.Confirm == nil {
		return nil
	}
	err := t.i.Confirm(ctx, t.plan)
	if err != nil && ctx.Err() != nil {
		return left(ctx)
	}
	return err
}

// left returns what ends a transaction's probation for this process.
func left(ctx context.Context) error {
	return james.Errorf(james.KindInterrupted, "", "%w; %w", context.Cause(ctx), ErrOnProbation)
}

// checks returns the steps that bring a packet with a health check.
func (t *txn) checks() []int {
	var steps []int
	for n, s := range t.steps {
		if s.New != nil && s.New.Scripts[james.HealthCheck] {
			steps = append(steps, n)
		}
	}
	return steps
}

// check runs the health check of a step's new packet until it succeeds or has no
// tries left.
func (t *txn) check(ctx context.Context, n int) error {
	timeout, retries, interval := t.steps[n].New.Health.Limits()
	for try := 1; ; try++ {
		err := t.call(ctx, n, false, script.Call{
			Name: james.HealthCheck, Action: t.steps[n].action(), Rerun: t.probation > 1, Try: try, Timeout: timeout,
		})
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return left(ctx)
		case try > retries && try > 1:
			return fmt.Errorf("%w; that was the last of %d tries", err, try)
		case try > retries:
			return err
		}
		if err := t.i.Sleep(ctx, interval); err != nil {
			return left(ctx)
		}
	}
}

// longest returns how long the checks take at most, when every try but the last
// fails and each needs all of its time.
func (t *txn) longest(checks []int) time.Duration {
	var sum time.Duration
	for _, n := range checks {
		timeout, retries, interval := t.steps[n].New.Health.Limits()
		sum += time.Duration(retries+1)*(timeout+t.i.Scripts.EndLimit()) + time.Duration(retries)*interval
	}
	return sum
}

// recoverProbation goes on with a transaction that was on probation when the
// device or the agent stopped.
func (t *txn) recoverProbation(ctx context.Context) (*james.Report, error) {
	if t.probation >= maxProbations {
		t.failed = &failure{Kind: james.KindConflict,
			Error: fmt.Sprintf("the agent or the device stopped %d times while the change was on probation", t.probation)}
		return t.recoverBack(ctx)
	}
	next, err := t.loadNext()
	if err != nil {
		t.failed = t.failure(err)
		return t.recoverBack(ctx)
	}
	t.next = next
	if err := t.reopen(); err != nil {
		t.warn("%v", err)
		return t.report(james.Broken, interrupted("while the change was on probation")), nil
	}
	began, err := t.undoingBegan()
	if err != nil {
		return nil, err
	}
	if began {
		t.failed = interrupted("while the change was undone")
		return t.recoverBack(ctx)
	}
	return t.finish(ctx)
}

// loadNext returns the inventory of after the transaction.
func (t *txn) loadNext() (*inventory, error) {
	next, _, err := newest(t.i.state, nextFiles[:])
	if err == nil && (next.sum.IsZero() || !t.nextSum.IsZero() && next.sum != t.nextSum) {
		err = james.Errorf(james.KindCorrupt, t.i.state.Abs(nextFile), "is not what was made for this transaction")
	}
	return next, err
}
