package server

import (
	"context"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells systemd, if it started jamesd with Type=notify. Nothing depends
// on whether it hears.
func notify(state string) { daemon.SdNotify(false, state) }

// watchdog tells systemd that jamesd lives, as often as it wants to hear it,
// for as long as the fleet's lock can be had.
func watchdog(ctx context.Context, s *state) {
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil || period == 0 {
		return
	}
	ticker := time.NewTicker(period / 2)
	defer ticker.Stop()
	for {
		if f := s.fleet.Load(); f != nil {
			f.Stats()
		}
		notify(daemon.SdNotifyWatchdog)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
