package ctl

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// Main runs jamesd-ctl and returns its exit code; see exitCodes.
func Main(p config.Process) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second signal ends the process at once
	return run(ctx, newProgram(p))
}

func run(ctx context.Context, p *program) int {
	args, err := rewriteSeed(p.Args)
	if err == nil {
		root := p.root()
		root.SetArgs(args)
		err = root.ExecuteContext(ctx)
	}
	if err == nil {
		err = p.out.err()
	}
	if err == nil {
		return 0
	}
	if ctx.Err() != nil && james.KindOf(err) == james.KindInterrupted {
		p.complain(interrupted(err))
		return exitInterrupted
	}
	p.complain(err)
	return exitCode(err)
}

// program is one run of jamesd-ctl.
type program struct {
	config.Process
	settings
	out *output
	now func() time.Time
	// pauseUnit is the pause after a first failure of a download.
	pauseUnit time.Duration
	// redraw is the least time between two drawings of a progress bar.
	redraw time.Duration
}

func newProgram(process config.Process) *program {
	p := &program{Process: process, out: &output{w: process.Out}, now: time.Now, pauseUnit: time.Second, redraw: 100 * time.Millisecond}
	p.settings.init(process.Getenv)
	return p
}
