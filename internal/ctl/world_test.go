package ctl_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/supply"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC // times are printed in the local zone
	os.Exit(m.Run())
}

// noon is when everything happens on the server; jamesd-ctl looks 12 s later.
var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// world is a jamesd in memory, with its authority, on a port of the loopback.
type world struct {
	testing.TB
	dir  string // with pki, and for files; jamesd-ctl's home
	addr string
	env  map[string]string

	supply *supply.Supply
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, dir: t.TempDir()}
	dir := filepath.Join(w.dir, "pki")
	w.check(pki.Init(dir))
	w.check(pki.AddServer(dir, "jamesd", nil))
	w.check(pki.AddAdmin(dir, "root"))
	w.check(pki.AddClient(dir, "device-1"))
	w.serve()
	w.env = map[string]string{
		"HOME": w.dir, "JAMESD_ADDR": w.addr,
		"JAMESD_CA": w.pki("ca.crt"), "JAMESD_CERT": w.pki("root.crt"), "JAMESD_KEY": w.pki("root.key"),
	}
	return w
}

func (w *world) serve() {
	log := logging.Discard()
	f, err := fleet.New(w.Context(), fleet.Options{
		Store: memstore.New(), Blobs: memblob.New(), Log: log, Now: func() time.Time { return noon }, Limits: archive.DefaultLimits(),
	})
	w.check(err)
	conf, err := pki.ServerTLS(w.pki("ca.crt"), w.pki("jamesd.crt"), w.pki("jamesd.key"))
	w.check(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	w.check(err)
	w.addr = l.Addr().String()
	kept, err := cache.Open(w.path("cache"), 64<<20)
	w.check(err)
	w.supply = supply.New(supply.Options{Fleet: f, Cache: kept, Log: log, Scratch: w.dir})
	handler := api.Handler(api.Options{
		Fleet: func() *fleet.Fleet { return f }, Supply: func() *supply.Supply { return w.supply }, Log: log,
	})
	server := api.NewServer(handler, conf, log)
	served := make(chan struct{})
	go func() { defer close(served); server.ServeTLS(l, "", "") }()
	w.Cleanup(func() { server.Close(); <-served; kept.Close() })
}

func (w *world) check(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }
func (w *world) pki(name string) string  { return filepath.Join(w.dir, "pki", name) }

// file writes a file and returns its name.
func (w *world) file(name, content string) string {
	w.Helper()
	w.check(os.MkdirAll(filepath.Dir(w.path(name)), 0o700))
	w.check(os.WriteFile(w.path(name), []byte(content), 0o600))
	return w.path(name)
}

// result is how a run of jamesd-ctl ended. The world's directory is DIR in it,
// and its address ADDR.
type result struct {
	code     int
	out, err string
}

func (w *world) process(in io.Reader, args []string) (config.Process, func(code int) result) {
	var out, err bytes.Buffer
	p := config.Process{Args: args, In: in, Out: &out, Err: &err, Getenv: func(k string) string { return w.env[k] }}
	names := strings.NewReplacer(w.dir, "DIR", w.addr, "ADDR")
	return p, func(code int) result { return result{code, names.Replace(out.String()), names.Replace(err.String())} }
}

func (w *world) runWith(ctx context.Context, in io.Reader, args ...string) result {
	w.Helper()
	p, done := w.process(in, args)
	return done(ctl.Run(ctx, p, func() time.Time { return noon.Add(12 * time.Second) }))
}

func (w *world) run(args ...string) result {
	w.Helper()
	return w.runWith(w.Context(), strings.NewReader(""), args...)
}

// ok runs jamesd-ctl, which must succeed and complain of nothing.
func (w *world) ok(args ...string) string {
	w.Helper()
	r := w.run(args...)
	if r.code != 0 || r.err != "" {
		w.Fatalf("%q ended with %d: %s", args, r.code, r.err)
	}
	return r.out
}

// prints runs jamesd-ctl, which must print exactly want.
func (w *world) prints(want string, args ...string) {
	w.Helper()
	if got := w.ok(args...); got != want {
		w.Errorf("%q printed\n%s\nwant\n%s", args, got, want)
	}
}

// fails runs jamesd-ctl, which must end with code and say want.
func (w *world) fails(code int, want string, args ...string) {
	w.Helper()
	r := w.run(args...)
	if r.code != code || !strings.Contains(r.err, want) || !strings.HasPrefix(r.err, "jamesd-ctl: ") || r.out != "" {
		w.Errorf("%q ended with %d: %s%s\nwant %d: %s", args, r.code, r.out, r.err, code, want)
	}
}

// device polls as device-1 with the tags x86_64 and systemd, and the given apps.
func (w *world) device(apps ...james.App) james.PollResponse {
	w.Helper()
	r, err := w.deviceClient().Poll(w.Context(), james.PollRequest{Report: &james.DeviceReport{
		SystemTags: james.MustTags("x86_64,systemd"), Apps: apps, Agent: "commit 0123456789ab go1.26.8 linux/arm64",
	}})
	w.check(err)
	return r
}

func (w *world) deviceClient() *client.Client {
	w.Helper()
	conf, err := pki.ClientTLS(w.pki("ca.crt"), w.pki("device-1.crt"), w.pki("device-1.key"))
	w.check(err)
	c, err := client.New(client.Options{Addr: w.addr, TLS: conf})
	w.check(err)
	w.Cleanup(c.Close)
	return c
}

// packet builds an archive of one file, whose content sets it apart.
func (w *world) packet(content string) string {
	w.Helper()
	name := "archive-" + content
	w.file(name+"/usr/bin/hello", content+"\n")
	w.check(os.Chmod(w.path(name+"/usr/bin/hello"), 0o755))
	w.ok("build-packet", w.path(name), "-o", w.path(name+".tar.xz"))
	return w.path(name + ".tar.xz")
}

// add adds a packet hello.
func (w *world) add(tags, content string) {
	w.Helper()
	w.ok("add-packet", "hello", "--tags", tags, "--data", w.packet(content))
}
