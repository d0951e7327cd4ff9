package ctl

import (
	"fmt"
	"time"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/pkg/james"
)

// healthFlags are the limits of a packet's health check.
type healthFlags struct {
	set               *pflag.FlagSet
	timeout, interval time.Duration
	retries           int
}

func (h *healthFlags) define(f *pflag.FlagSet) {
	h.set = f
	f.DurationVar(&h.timeout, "health-timeout", james.DefaultHealthTimeout, fmt.Sprintf("how long one try of the health check may take, up to %s", hours(james.MaxHealthTimeout)))
	f.IntVar(&h.retries, "health-retries", 0, fmt.Sprintf("how often a health check that fails is tried again, up to %d times", james.MaxHealthRetries))
	f.DurationVar(&h.interval, "health-interval", james.DefaultHealthInterval, fmt.Sprintf("time between a failed try and the next, up to %s", hours(james.MaxHealthInterval)))
}

// hours writes whole minutes or hours shortly.
func hours(d time.Duration) string {
	if d%time.Hour == 0 {
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dm", d/time.Minute)
}

// limits returns what was given, nil for nothing. script says whether there is a
// health check that they are for.
func (h *healthFlags) limits(script bool) (*james.Health, error) {
	l := &james.Health{}
	given := ""
	for _, f := range []struct {
		name string
		to   *int
		take func() (int, error)
	}{
		{"health-timeout", &l.Timeout, func() (int, error) { return seconds("health-timeout", h.timeout, james.MaxHealthTimeout) }},
		{"health-retries", &l.Retries, h.checkRetries},
		{"health-interval", &l.Interval, func() (int, error) { return seconds("health-interval", h.interval, james.MaxHealthInterval) }},
	} {
		if !h.set.Changed(f.name) {
			continue
		}
		var err error
		if *f.to, err = f.take(); err != nil {
			return nil, err
		}
		given = f.name
	}
	switch {
	case given == "":
		return nil, nil
	case !script:
		return nil, james.Errorf(james.KindInvalid, given, "there is no health check that it could be for").
			WithHint("Give the script with --health FILE.")
	}
	if *l == (james.Health{}) {
		return nil, nil // a packet is the same with defaults and with none
	}
	return l, nil
}

func (h *healthFlags) checkRetries() (int, error) {
	if h.retries < 0 || h.retries > james.MaxHealthRetries {
		return 0, james.Errorf(james.KindInvalid, "health-retries", "is %d, 0 to %d are allowed", h.retries, james.MaxHealthRetries)
	}
	return h.retries, nil
}

func seconds(name string, d, limit time.Duration) (int, error) {
	if d < time.Second || d > limit || d%time.Second != 0 {
		return 0, james.Errorf(james.KindInvalid, name, "is %s, whole seconds from 1s to %s are allowed", d, hours(limit))
	}
	return int(d / time.Second), nil
}

// healthText says how a packet's health check is run.
func healthText(h *james.Health) string {
	timeout, retries, interval := h.Limits()
	if retries == 0 {
		return fmt.Sprintf("one try of up to %s", timeout)
	}
	return fmt.Sprintf("up to %d tries of up to %s each, %s apart", retries+1, timeout, interval)
}
