package sim

import (
	"context"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// admin sets the desired states of the fleet's devices.
type admin struct {
	fleet   *fleet
	clients []*client.Client
	wants   [][]james.App // what takes turns
	turn    int           // of the changes of all
	next    int           // device whose turn it is
}

// The admin's requests at once: connections, and requests for each.
const (
	adminConnections = 8
	adminEach        = 2
)

// newAdmin returns the admin of a fleet, nil where none is needed.
func newAdmin(f *fleet) (*admin, error) {
	if len(f.s.wants) == 0 {
		return nil, nil
	}
	a := &admin{fleet: f}
	for _, text := range f.s.wants {
		apps, err := parseApps("--want", text)
		if err != nil {
			return nil, err
		}
		a.wants = append(a.wants, apps)
	}
	if len(a.wants) == 1 {
		a.wants = append(a.wants, []james.App{})
	}
	conf, err := f.identity(f.issuer.Admin(programName))
	if err != nil {
		return nil, err
	}
	for range adminConnections {
		c, err := client.New(client.Options{Addr: f.dialer.Addr, TLS: conf, UserAgent: f.agent})
		if err != nil {
			return nil, err
		}
		a.clients = append(a.clients, c)
	}
	return a, nil
}

func (a *admin) close() {
	for _, c := range a.clients {
		c.Close()
	}
}

// set sets the desired state of a device.
func (a *admin) set(ctx context.Context, c *client.Client, d *device, apps []james.App) error {
	begun := time.Now()
	_, err := c.SetDesired(ctx, james.SetDesiredRequest{State: james.State{ID: d.id, Apps: apps}, Force: true})
	if err == nil {
		a.fleet.m.took(setKind, time.Since(begun))
	}
	return err
}

// setAll sets the desired states of all devices, which have time to begin with begin;
// done is called with how many are set, now and then.
func (a *admin) setAll(ctx context.Context, apps []james.App, begin func(*device), done func(int)) error {
	var next, set atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	for w := range adminConnections * adminEach {
		g.Go(func() error {
			for i := int(next.Add(1)) - 1; i < len(a.fleet.devices); i = int(next.Add(1)) - 1 {
				d := a.fleet.devices[i]
				begin(d)
				if err := a.set(ctx, a.clients[w%adminConnections], d, apps); err != nil {
					return err
				}
				if n := set.Add(1); n%100 == 0 {
					done(int(n))
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// prepare sets the first desired state of all devices, which have not come yet.
func (a *admin) prepare(ctx context.Context, done func(int)) error {
	return a.setAll(ctx, a.wants[0], func(*device) {}, done)
}

// run changes desired states until ctx ends.
func (a *admin) run(ctx context.Context) {
	var g errgroup.Group
	if every := a.fleet.s.changeEvery; every > 0 {
		g.Go(func() error { a.repeat(ctx, every, a.changeOne); return nil })
	}
	if every := a.fleet.s.changeAll; every > 0 {
		g.Go(func() error { a.repeat(ctx, every, a.changeAll); return nil })
	}
	_ = g.Wait() // none of them fails
}

// repeat makes changes at these intervals, when the devices have come. One that takes
// longer delays the next.
func (a *admin) repeat(ctx context.Context, every time.Duration, change func(context.Context) error) {
	_ = backoff.Sleep(ctx, a.fleet.s.boot) // of no matter how it ends
	for backoff.Sleep(ctx, every) == nil {
		if err := change(ctx); err != nil && ctx.Err() == nil {
			a.fleet.m.lost("the admin: " + string(james.KindOf(err)))
		}
	}
}

// changeOne changes the desired state of the next device that waits for one.
func (a *admin) changeOne(ctx context.Context) error {
	for range a.fleet.devices {
		d := a.fleet.devices[a.next%len(a.fleet.devices)]
		turn := 1 + a.next/len(a.fleet.devices)
		a.next++
		if d.role == honest && d.await(change{time.Now(), changeOne}) {
			return a.set(ctx, a.clients[0], d, a.wants[turn%len(a.wants)])
		}
	}
	return nil
}

// changeAll changes all of them.
func (a *admin) changeAll(ctx context.Context) error {
	a.turn++
	begun := time.Now()
	return a.setAll(ctx, a.wants[a.turn%len(a.wants)], func(d *device) {
		if !d.role.odd() {
			d.await(change{begun, changeAll})
		}
	}, func(int) {})
}

// await has the next plan of the device measured from the beginning of a change, and
// reports whether the device is connected and waits for no other.
func (d *device) await(c change) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn == nil || !d.change.begun.IsZero() {
		return false
	}
	d.change = c
	return true
}
