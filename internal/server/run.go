package server

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/control"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/gate"
	"github.com/trusch/jamesd/internal/server/parking"
	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/internal/server/tickets"
	"github.com/trusch/jamesd/internal/server/timed"
	"github.com/trusch/jamesd/internal/version"
	"github.com/trusch/jamesd/pkg/james"
)

// multipartOverhead is what the body of an upload has beside its archive.
const multipartOverhead = 16 << 20

// jamesd is the running server.
type jamesd struct {
	o     *options
	log   logrus.FieldLogger
	tls   *tls.Config
	state state
	// central is the configuration of a site's cache as a client of its jamesd.
	central *tls.Config
	metrics *metrics

	// keys are those of session tickets; keyed is closed when they are the store's, or it
	// turned out that they cannot be yet.
	keys  *tickets.Keeper
	keyed chan struct{}
	key   func() // closes keyed

	lot              *parking.Lot // nil where the system has no means for one
	api, ops         *http.Server
	apiConn, opsConn net.Listener // opsConn is nil where there is no listener for operators
}

// state is what the parts tell each other.
type state struct {
	fleet    atomic.Pointer[fleet.Fleet]   // nil until the store was reached
	supply   atomic.Pointer[supply.Supply] // likewise, set before fleet
	site     atomic.Pointer[site.Site]     // of a site's cache, in place of all that; nil until it is open
	gate     atomic.Pointer[gate.Listener] // nil until it is open
	stopping atomic.Bool

	mu    sync.Mutex
	cause error // why the store was not reached
}

func (s *state) setCause(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cause = err
}

func (s *state) getCause() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cause
}

// run is jamesd from its certificates to its last write. It returns nil when it
// ended because ctx did.
func run(ctx context.Context, o *options, log logrus.FieldLogger) error {
	d := &jamesd{o: o, log: log, keyed: make(chan struct{})}
	d.key = sync.OnceFunc(func() { close(d.keyed) })
	if err := d.loadTLS(); err != nil {
		return james.Cannot("start", "", err)
	}
	if err := d.listen(); err != nil {
		return james.Cannot("start", "", err)
	}
	return d.serve(ctx)
}

// certificateError tells who starts jamesd for the first time where the files
// come from.
func certificateError(err error) error {
	var e *james.Error
	if errors.As(err, &e) && e.Kind == james.KindNotFound && e.Hint == "" {
		return e.WithHint("jamesd-ctl pki makes certificates; --ca, --cert and --key say where they are.")
	}
	return err
}

// listen opens both listeners.
func (d *jamesd) listen() error {
	conn, err := net.Listen("tcp", d.o.addr)
	if err != nil {
		return listenError("--addr", err)
	}
	d.apiConn = conn
	if d.o.metricsAddr != "" {
		if d.opsConn, err = listenOps(d.o.metricsAddr, d.o.metricsRemote); err != nil {
			conn.Close()
			return err
		}
	}
	d.build()
	d.prepareTLS()
	d.log.WithFields(logrus.Fields{"addr": conn.Addr().String(), "version": version.String()}).Info("listening")
	if d.opsConn != nil {
		d.log.WithFields(logrus.Fields{"addr": d.opsConn.Addr().String(), "pprof": d.profiled()}).Info("metrics listening")
	}
	return nil
}

// listenError names the flag that the address came from.
func listenError(flag string, err error) error {
	e := james.Errorf(james.KindInvalid, flag, "%w", err)
	if !errors.Is(err, syscall.EADDRINUSE) {
		return e
	}
	return e.WithHint("Is another jamesd running? Another address can be given with %s.", flag)
}

func (d *jamesd) build() {
	var err error
	if d.lot, err = parking.New(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		d.log.WithError(err).Warn("held polls have goroutines")
	}
	d.metrics = newMetrics(d.tls, d.o.ca)
	d.metrics.registry.MustRegister(d.collectors()...)
	limits := d.o.limits.table()
	d.metrics.registry.MustRegister(gateCollector{d.state.gate.Load}, limitCollector{limits, d.state.gate.Load})
	o := api.Options{
		Fleet: d.state.fleet.Load, Supply: d.state.supply.Load, Site: d.state.site.Load, Log: d.log, Admins: d.o.admins, Lot: d.lot, Limits: limits,
		MaxUpload: int64(d.o.maxArchive) + multipartOverhead, Observe: d.metrics.observe,
	}
	handler := api.Handler
	if d.o.cacheOf != "" {
		handler = api.SiteHandler
	}
	d.api = api.NewServer(handler(o), d.tls, d.log)
	d.api.RegisterOnShutdown(func() {
		if f := d.state.fleet.Load(); f != nil {
			f.Drain()
		}
	})
	d.ops = newOps(&d.state, d.metrics, d.profiled())
}

// serve runs the parts until ctx ends or one of them fails, and ends the others:
// first the API, as its requests need the fleet; then the fleet, which saves
// what it has not yet; the listener for operators last, so that it can be seen.
func (d *jamesd) serve(ctx context.Context) error {
	failed := make(chan error, 3)
	var listeners, work sync.WaitGroup
	listeners.Go(func() {
		select { // who comes back after a restart is to find the keys of its ticket
		case <-d.keyed:
		case <-ctx.Done():
		}
		failed <- served(api.Serve(d.api, d.enter(), d.lot))
	})
	if d.opsConn != nil {
		listeners.Go(func() { failed <- served(d.ops.Serve(d.opsConn)) })
	}
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()
	work.Go(func() { failed <- d.work(workCtx) })
	work.Go(func() { watchdog(workCtx, &d.state) })

	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	d.state.stopping.Store(true)
	notify("STOPPING=1")
	d.shutdown()
	stopWork()
	work.Wait()
	d.ops.Close()
	listeners.Wait()
	close(failed)
	for late := range failed {
		err = errors.Join(err, late)
	}
	d.log.Info("stopped")
	return err
}

// served returns nil for the error by which a server says that it was told to end.
func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// shutdown lets requests finish for as long as --shutdown-timeout says. Held
// polls are answered at once.
func (d *jamesd) shutdown() {
	ctx, cancel := context.WithTimeout(context.Background(), d.o.shutdownTimeout)
	defer cancel()
	if err := d.api.Shutdown(ctx); err != nil {
		d.log.WithField("timeout", d.o.shutdownTimeout.String()).Warn("transfers cut short")
		d.api.Close()
	}
	if d.lot != nil {
		d.lot.Shutdown(ctx)
	}
}

// work opens the store and runs the fleet on it, and what makes streams.
func (d *jamesd) work(ctx context.Context) error {
	defer d.key()
	if d.o.cacheOf != "" {
		d.key()
		return d.workSite(ctx)
	}
	weight := newBallast(os.Getenv)
	defer runtime.KeepAlive(weight)
	var p *parts
	err := retry(ctx, func() (err error) {
		p, err = d.reach(ctx)
		return err
	}, func(err error, pause time.Duration) {
		d.key()
		d.state.setCause(err)
		d.log.WithFields(logrus.Fields{"kind": james.KindOf(err), "error": err, "pause": pause.String()}).Warn("store not reached")
		notify("READY=1\nSTATUS=waiting for the store: " + err.Error())
	})
	if err != nil && ctx.Err() != nil {
		return nil
	}
	if err != nil {
		return james.Cannot("start", "", err)
	}
	s := supply.New(supply.Options{Fleet: p.fleet, Cache: p.cache, Log: d.log, Scratch: d.o.cacheDirectory()})
	d.state.supply.Store(s)
	d.state.fleet.Store(p.fleet)
	d.log.WithField("packets", len(p.fleet.Packets())).Info("ready")
	notify("READY=1\nSTATUS=serving")
	var background sync.WaitGroup
	background.Go(func() { s.Run(ctx) })
	background.Go(func() { d.keys.Run(ctx) })
	background.Go(func() { d.answerCommands(ctx, p) })
	err = p.fleet.Run(ctx)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil
	}
	background.Wait()
	return errors.Join(err, p.close())
}

// answerCommands does what commands on this machine ask for, as they cannot open the
// directory that this jamesd has, until ctx ends. Without it jamesd does all else.
func (d *jamesd) answerCommands(ctx context.Context, p *parts) {
	if isMongo(d.o.db) {
		return
	}
	s, err := control.Serve(d.o.db, operationsOf(p.backend, p.fleet))
	if err != nil {
		d.log.WithField("kind", james.KindOf(err)).WithError(err).Warn("jamesd check and jamesd backup cannot reach this jamesd")
		return
	}
	<-ctx.Done()
	if err := s.Close(); err != nil {
		d.log.WithError(err).Warn("the control socket is left behind")
	}
}

// parts are what the fleet is made of, and the fleet.
type parts struct {
	*backend
	cache *cache.Cache
	fleet *fleet.Fleet
}

// close closes what is open; a making of a stream reads the blobs, so the cache,
// which ends it, goes first.
func (p *parts) close() error {
	var err error
	if p.cache != nil {
		err = p.cache.Close()
	}
	return errors.Join(err, p.backend.close())
}

// reach opens the store and the cache, and loads the fleet.
func (d *jamesd) reach(ctx context.Context) (*parts, error) {
	b, err := openBackend(ctx, d.o.db)
	if err != nil {
		return nil, err
	}
	p := &parts{backend: b}
	d.takeKeys(ctx, b)
	if p.cache, err = d.o.openCache(); err == nil {
		p.fleet, err = d.load(ctx, b)
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (d *jamesd) load(ctx context.Context, b *backend) (*fleet.Fleet, error) {
	limits := archive.DefaultLimits()
	limits.MaxArchive, limits.MaxSize, limits.AllowDevices = int64(d.o.maxArchive), int64(d.o.maxPacketSize), d.o.allowDevices
	limits.Workers = runtime.GOMAXPROCS(0)
	intervals, err := d.o.pollIntervals()
	if err != nil {
		return nil, err
	}
	f, err := fleet.New(ctx, fleet.Options{
		Store: timed.Store(b.store, d.metrics.work.calls("metadata")), Blobs: timed.Blobs(b.blobs, d.metrics.work.calls("blobs")),
		Log: d.log, Limits: limits, PollInterval: d.o.pollInterval, PollIntervals: intervals, Resolved: d.metrics.work.resolved,
	})
	debug.FreeOSMemory() // what reading a large fleet took is not needed again for long
	return f, err
}
