package sim

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

// fleet is the devices of one run.
type fleet struct {
	s         *settings
	m         *measure // of the devices that behave
	odd       *measure // of the others
	in, out   atomic.Int64
	dialer    wire.Dialer
	host      string // that the server's certificate must be good for
	agent     string
	issuer    *pki.Issuer
	devices   []*device
	slots     chan struct{} // one for each connection that may be open
	sources   []net.IP      // own addresses; none for any
	manifests manifests
	rand      func() float64

	final sample // how it stood at the end
	ended time.Time
}

// dialTimeout is how long a device tries to connect; jamesc has the same.
const dialTimeout = 15 * time.Second

// newFleet returns a fleet whose devices have no certificates yet.
func newFleet(ctx context.Context, s *settings) (*fleet, error) {
	f := &fleet{s: s, m: newMeasure(), odd: newMeasure(), agent: programName + "/" + version.Commit(),
		manifests: manifests{known: map[james.Digest]james.Indices{}}, rand: rand.Float64, host: s.serverName}
	if f.host == "" {
		f.host, _, _ = net.SplitHostPort(s.addr) // checked
	}
	var err error
	if f.issuer, err = pki.NewIssuer(s.ca, s.caKey); err != nil {
		return nil, err
	}
	addr, err := reach(ctx, s.addr)
	if err != nil {
		return nil, err
	}
	f.dialer = wire.Dialer{Addr: addr, Timeout: min(s.timeout, dialTimeout), Turns: wire.NewTurns(), In: &f.in, Out: &f.out}
	n, err := s.connections()
	if err != nil {
		return nil, err
	}
	f.slots = make(chan struct{}, n)
	if f.sources, err = sourcesFor(addr, min(n, s.devices)); err != nil {
		return nil, err
	}
	return f, f.populate()
}

// populate makes the devices.
func (f *fleet) populate() error {
	var tags []james.TagSet
	for _, text := range f.s.tags {
		t, err := james.ParseTags(text)
		if err != nil {
			return james.Errorf(james.KindInvalid, "--system-tags", "%w", err)
		}
		tags = append(tags, t)
	}
	apps := [][]james.App{{}}
	for i, text := range f.s.apps {
		a, err := parseApps("--apps", text)
		if err != nil {
			return err
		}
		if i == 0 {
			apps = nil
		}
		apps = append(apps, installed(a))
	}
	roles := f.s.roles()
	f.devices = make([]*device, f.s.devices)
	for i := range f.devices {
		d := &device{fleet: f, m: f.m, id: f.s.id(i), role: roles[i], apps: apps[i%len(apps)]}
		if len(tags) > 0 {
			d.tags = tags[i%len(tags)]
		}
		if len(f.sources) > 0 {
			d.from = f.sources[i%len(f.sources)]
		}
		if d.role.odd() {
			d.m = f.odd
		}
		f.devices[i] = d
	}
	return nil
}

// certify makes the certificates of the devices; done is called with how many there
// are, now and then.
func (f *fleet) certify(ctx context.Context, done func(n int)) error {
	var made atomic.Int64
	g, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		g.Go(func() error {
			for i := w; i < len(f.devices); i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				conf, err := f.identity(f.issuer.Client(f.devices[i].id))
				if err != nil {
					return err
				}
				f.devices[i].tls = conf
				if n := made.Add(1); n%100 == 0 {
					done(int(n))
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (f *fleet) identity(cert tls.Certificate, err error) (*tls.Config, error) {
	if err != nil {
		return nil, err
	}
	return wire.TLS(f.issuer.Roots(), f.host, &cert), nil
}

// accepted returns how many devices a server has taken for what they are; the fleet has
// ended. A server tells so by a session, long before it answers a poll that it holds.
func (f *fleet) accepted() int {
	n := 0
	for _, d := range f.devices {
		_, session := d.tls.ClientSessionCache.Get("")
		if session || d.answered {
			n++
		}
	}
	return n
}

// run simulates the devices until ctx ends, and returns when all have.
func (f *fleet) run(ctx context.Context) {
	f.m.begun, f.odd.begun = time.Now(), time.Now()
	var all sync.WaitGroup
	for i, d := range f.devices {
		at := f.s.boot * time.Duration(i) / time.Duration(len(f.devices))
		all.Go(func() {
			if backoff.Sleep(ctx, at) == nil {
				d.run(ctx)
			}
		})
	}
	all.Go(func() { f.storms(ctx) })
	<-ctx.Done()
	f.final, f.ended = f.m.sample(), time.Now()
	for _, d := range f.devices {
		d.drop() // what blocks it ends
	}
	all.Wait()
}

// storms resets all connections again and again, when the devices have come.
func (f *fleet) storms(ctx context.Context) {
	if f.s.stormEvery == 0 {
		return
	}
	_ = backoff.Sleep(ctx, f.s.boot) // of no matter how it ends
	for backoff.Sleep(ctx, f.s.stormEvery) == nil {
		s := &storm{at: time.Now()}
		s.left.Store(1) // until all are counted
		for _, d := range f.devices {
			if !d.role.odd() && d.stormed(s) {
				s.devices++
			}
		}
		s.back()
		f.m.mu.Lock()
		f.m.storms = append(f.m.storms, s)
		f.m.mu.Unlock()
	}
}

// enter waits for one of the connections that may be open.
func (f *fleet) enter(ctx context.Context) error {
	select {
	case f.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fleet) leave() { <-f.slots }
