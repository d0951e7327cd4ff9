package txn

import (
	"context"
	"fmt"

	"github.com/trusch/jamesd/internal/device/script"
)

// A script outlives an agent that is killed. So the journal says which run has
// begun and which has ended, and recovering first ends the one that has not:
// else it would go on changing the device that is being undone. These records
// need not be durable, as no process survives a power cut.

// runScript runs a script, with the runs numbered in the journal.
func (t *txn) runScript(ctx context.Context, c script.Call) error {
	t.runs++
	c.ID = t.runID(t.runs)
	t.noteRun(&record{Run: t.runs})
	_, err := t.i.Scripts.Run(ctx, c)
	t.ran = t.runs
	t.noteRun(&record{Ran: t.ran})
	return err
}

// noteRun notes what helps after a crash alone; without it the script is run all
// the same, as undoing must go on where the journal cannot be written.
func (t *txn) noteRun(r *record) {
	if err := t.note(r); err != nil {
		t.log.WithError(err).Debug("run of a script not noted")
	}
}

// runID is what everything that the n-th run starts is known by: the state
// directory says whose it is, as one agent at a time has that.
func (t *txn) runID(n int) script.ID {
	return script.ID{Owner: t.i.owner, Run: fmt.Sprintf("%x-%d", t.started.UnixNano(), n)}
}

// endRun ends the script that was running when the agent died.
func (t *txn) endRun() {
	if t.ran == t.runs {
		return
	}
	if err := t.i.Scripts.End(t.runID(t.runs)); err != nil {
		t.log.WithError(err).Warn("a script of before the crash is still running")
		t.warn("%v", err)
	}
	t.ran = t.runs
}

// runner returns a name for who has the state directory.
func (i *Installer) runner() (string, error) {
	info, err := i.state.Lstat(".")
	return fmt.Sprintf("%x-%x", info.Dev, info.Ino), err
}
