package api

import (
	"crypto/rand"
	"encoding/hex"
	"io"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/internal/server/parking"
	"github.com/trusch/jamesd/internal/server/site"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/pkg/james"
)

// Options are what the API needs. Zero values of the last group have defaults.
type Options struct {
	// Fleet returns the fleet, or nil as long as its store has not been reached;
	// what needs it is then answered with james.KindUnavailable.
	Fleet func() *fleet.Fleet
	// Supply returns what makes streams, or nil as long as there is none. Without it
	// no stream is there for anybody.
	Supply func() *supply.Supply
	// Site, in place of the fleet, returns the cache of a site for SiteHandler, or nil
	// as long as it is not open.
	Site func() *site.Site
	Log  logrus.FieldLogger
	// Admins are common names that are admins without the organisation of one.
	Admins []string
	// MaxUpload bounds the body of an upload in bytes.
	MaxUpload int64
	// Lot, where set, is where connections are parked whose polls are held; Serve must
	// get it, too. Otherwise each has its goroutines.
	Lot *parking.Lot
	// Limits, where set, are those of devices.
	Limits *limit.Table
	// Observe, where set, is told of every request that has been answered.
	Observe func(Observation)

	Now    func() time.Time // time.Now
	Rand   io.Reader        // crypto/rand; it makes request ids
	Stall  time.Duration    // 1 min; the longest time without progress of a body, either way
	Linger time.Duration    // 10 s; how long a refused upload is read after the answer
}

// Observation is one request that has been answered.
type Observation struct {
	// Route is the method and path as in the table, "other" where there is none.
	Route    string
	Status   int
	Duration time.Duration
	In, Out  int64 // bytes of the bodies
	// Way is how the contents of packets went out, "" where none did.
	Way Way
	// Saved is what the device was spared by that, where it went out to its end.
	Saved supply.Saved
}

// Way is how contents of packets go out.
type Way string

// The ways.
const (
	ByArchive Way = "archive"
	ByStream  Way = "stream" // contents, each of them whole
	ByPatch   Way = "patch"  // a stream with at least one patch
)

const defaultMaxUpload = 8<<30 + maxPacket

func (o *Options) complete() {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Reader
	}
	if o.Stall == 0 {
		o.Stall = time.Minute
	}
	if o.Linger == 0 {
		o.Linger = 10 * time.Second
	}
	if o.MaxUpload == 0 {
		o.MaxUpload = defaultMaxUpload
	}
	if o.Observe == nil {
		o.Observe = func(Observation) {}
	}
}

// Handler returns the API. It must be served by a server of NewServer, as it
// relies on verified client certificates and sets deadlines of its own.
func Handler(o Options) http.Handler { return newHandler(o, routes) }

func newHandler(o Options, table []Route) http.Handler {
	o.complete()
	h := &handler{o: o, log: newAccessLog(o.Log), mux: http.NewServeMux(), fixed: make(map[endpoint]*Route)}
	var prefix [4]byte
	if _, err := io.ReadFull(o.Rand, prefix[:]); err != nil {
		panic(err) // the source of randomness of the machine does not fail
	}
	h.prefix = hex.EncodeToString(prefix[:]) + "-"
	for _, route := range table {
		route.pattern = route.Method + " " + route.Path
		h.mux.HandleFunc(route.pattern, func(w http.ResponseWriter, _ *http.Request) {
			w.(*call).serve(&route)
		})
		if !strings.Contains(route.Path, "{") {
			h.fixed[endpoint{route.Method, route.Path}] = &route
		}
	}
	return h
}

// endpoint is a method of a path.
type endpoint struct{ method, path string }

type handler struct {
	o      Options
	log    accessLog
	mux    *http.ServeMux
	fixed  map[endpoint]*Route // the routes whose paths name nothing, which mux has, too
	prefix string
	count  atomic.Uint64
}

// ServeHTTP carries one request from its identification to the log.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := h.newCall(w, r)
	defer c.end()
	var err error
	if c.caller, err = identify(r.TLS, h.o.Admins, c.start); err != nil {
		c.Header().Set("Connection", "close") // the next request would fail likewise
		c.fail(err)
		return
	}
	if route := h.fixed[endpoint{r.Method, r.URL.Path}]; route != nil {
		c.serve(route)
		return
	}
	if r.URL.Path != path.Clean(r.URL.Path) {
		c.fail(refuse(http.StatusNotFound, "there is nothing at %.200q", r.URL.Path))
		return
	}
	h.mux.ServeHTTP(c, r)
}

// serve does what every route has in common.
func (c *call) serve(route *Route) {
	c.route = route
	c.body.limit = route.MaxBody
	if route.MaxBody == upload {
		c.body.limit, c.body.flag = c.api.o.MaxUpload, "max-archive"
	}
	if err := c.run(); err != nil {
		c.fail(cannot(route.Op, c.subject, err))
	}
}

// run checks what the table declares, in the order in which it may be told, and
// calls the handler.
func (c *call) run() error {
	if err := c.route.admit(c.caller); err != nil {
		return err
	}
	if err := c.limit(); err != nil {
		return err
	}
	if err := c.standIn(); err != nil {
		return err
	}
	if err := c.parsePath(); err != nil {
		return err
	}
	if err := c.checkQuery(); err != nil {
		return err
	}
	if err := c.body.check(); err != nil {
		return err
	}
	if c.route.alone {
		return c.route.handle(c, nil)
	}
	f, err := c.fleet()
	if err != nil {
		return err
	}
	if c.route.Change {
		c.r = c.r.WithContext(fleet.WithRequest(c.r.Context(), c.id))
	}
	return c.route.handle(c, f)
}

// parsePath reads what the path names.
func (c *call) parsePath() (err error) {
	switch {
	case strings.Contains(c.route.Path, "{id}"):
		c.device = c.r.PathValue("id")
		if err = james.CheckDeviceID(c.device); err == nil {
			c.subject = c.device
		}
	case strings.Contains(c.route.Path, "{digest}"):
		if c.digest, err = james.ParseDigest(c.r.PathValue("digest")); err == nil {
			c.subject = c.digest.Short()
		}
	}
	return err
}

// end recovers from a panic of the handler, and logs and counts the request.
func (c *call) end() {
	c.release()
	if c.parked {
		return
	}
	var abort any
	if p := recover(); p != nil {
		if p != http.ErrAbortHandler {
			c.api.o.Log.WithFields(logrus.Fields{"request": c.id, "panic": p, "stack": string(debug.Stack())}).
				Error("request panicked")
		}
		if c.status != 0 {
			abort = http.ErrAbortHandler // half an answer must not look like a whole one
		}
		c.fail(james.Errorf(james.KindInternal, "", "the request hit a defect of jamesd"))
	}
	if c.cut {
		abort = http.ErrAbortHandler
	}
	c.account()
	if c.cut {
		abort = http.ErrAbortHandler
	}
	if abort != nil {
		panic(abort)
	}
}

// account logs and counts the request.
func (c *call) account() {
	took := c.api.o.Now().Sub(c.start)
	c.api.log.write(c, took)
	c.api.o.Observe(Observation{Route: c.pattern(), Status: c.status, Duration: took, In: c.body.read, Out: c.out, Way: c.way, Saved: c.saved})
}
