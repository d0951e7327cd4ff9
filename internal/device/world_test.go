package device_test

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device"
	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/pkg/james"
)

// patience bounds what a test waits for; nothing waits for it when all is well.
const patience = 30 * time.Second

// world is a jamesd, a link to it that can be cut, and one device.
type world struct {
	t     *testing.T
	fleet *fleet.Fleet
	link  *link
	dir   string // with pki, root and state
	more  []string
	lost  atomic.Bool // the server has lost its store
}

const id = "device-1"

func newWorld(t *testing.T) *world {
	t.Helper()
	log := logging.Discard()
	f, err := fleet.New(t.Context(), fleet.Options{Store: memstore.New(), Blobs: memblob.New(), Log: log, PollInterval: time.Second})
	check(t, err)
	w := &world{t: t, fleet: f, dir: t.TempDir()}
	check(t, os.Mkdir(w.path("pki"), 0o700))
	check(t, pki.Init(w.path("pki")))
	check(t, pki.AddServer(w.path("pki"), "server", nil))
	check(t, pki.AddClient(w.path("pki"), id))
	conf, err := pki.ServerTLS(w.path("pki/ca.crt"), w.path("pki/server.crt"), w.path("pki/server.key"))
	check(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	srv := api.NewServer(api.Handler(api.Options{Fleet: w.served, Log: log}), conf, log)
	var serving sync.WaitGroup
	serving.Go(func() {
		if err := srv.ServeTLS(l, "", ""); err != http.ErrServerClosed {
			t.Errorf("server: %v", err)
		}
	})
	w.link = newLink(t, l.Addr().String())
	t.Cleanup(func() { srv.Close(); serving.Wait() })
	return w
}

func (w *world) served() *fleet.Fleet {
	if w.lost.Load() {
		return nil
	}
	return w.fleet
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// args are the flags of the device's jamesc.
func (w *world) args(more ...string) []string {
	return append(append([]string{"--addr", w.link.addr, "--ca", w.path("pki/ca.crt"), "--cert", w.path("pki/" + id + ".crt"),
		"--key", w.path("pki/" + id + ".key"), "--install-root", w.path("root"), "--state-dir", w.path("state"),
		"--system-tags", "armv7l"}, w.more...), more...)
}

// process runs jamesc with these arguments until it ends.
func process(ctx context.Context, args []string, env map[string]string) (code int, out, err string) {
	var stdout, stderr lines
	code = device.Execute(ctx, config.Process{Args: args, Out: &stdout, Err: &stderr, In: strings.NewReader(""),
		Getenv: func(k string) string { return env[k] }})
	return code, stdout.String(), stderr.String()
}

// once runs jamesc --once and expects its exit code. It returns what it said.
func (w *world) once(want int) string {
	w.t.Helper()
	code, _, stderr := process(w.t.Context(), w.args("--once"), nil)
	if code != want {
		w.t.Fatalf("exit code %d, want %d:\n%s", code, want, stderr)
	}
	return stderr
}

// running is a jamesc in the background.
type running struct {
	w    *world
	log  *lines
	stop func()
	code chan int
}

func (w *world) start(more ...string) *running {
	ctx, cancel := context.WithCancel(w.t.Context())
	r := &running{w: w, log: &lines{}, code: make(chan int, 1)}
	go func() {
		r.code <- device.Execute(ctx, config.Process{Args: w.args(more...), Out: io.Discard, Err: r.log, In: strings.NewReader(""),
			Getenv: func(string) string { return "" }})
	}()
	ended := sync.OnceFunc(func() {
		cancel()
		if code := <-r.code; code != 0 {
			w.t.Errorf("exit code %d:\n%s", code, r.log)
		}
	})
	r.stop = ended
	w.t.Cleanup(ended)
	return r
}

// says waits until jamesc has logged something that matches.
func (r *running) says(re string) {
	r.w.t.Helper()
	r.log.await(r.w.t, re)
}

// lines collects output.
type lines struct {
	mu    sync.Mutex
	b     bytes.Buffer
	grown chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grown != nil {
		close(l.grown)
		l.grown = nil
	}
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lines) await(t *testing.T, expr string) {
	t.Helper()
	re, limit := regexp.MustCompile(expr), time.After(patience)
	for {
		l.mu.Lock()
		found := re.Match(l.b.Bytes())
		if l.grown == nil {
			l.grown = make(chan struct{})
		}
		grown := l.grown
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-grown:
		case <-limit:
			t.Fatalf("did not say %s:\n%s", expr, l)
		}
	}
}

// file is a file of a packet.
type file struct {
	content string
	mode    int64
}

// upload adds a packet with these files and scripts to the server.
func (w *world) upload(name, tags string, files map[string]file, scripts map[james.ScriptName]string) james.Packet {
	w.t.Helper()
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	for path, f := range files {
		if f.mode == 0 {
			f.mode = 0o644
		}
		check(w.t, tw.WriteHeader(&tar.Header{Name: path, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(1e9, 0), Typeflag: tar.TypeReg,
			Uid: os.Getuid(), Gid: os.Getgid()}))
		_, err := io.WriteString(tw, f.content)
		check(w.t, err)
	}
	check(w.t, tw.Close())
	req := james.AddPacketRequest{Name: name, Tags: james.MustTags(tags), Scripts: map[james.ScriptName][]byte{}}
	for n, body := range scripts {
		req.Scripts[n] = []byte("#!/bin/sh\n" + body)
	}
	resp, err := w.fleet.AddPacket(w.t.Context(), "admin", req, &archive)
	check(w.t, err)
	return resp.Packet
}

// want sets the desired state: "name tags" of each app.
func (w *world) want(apps ...string) {
	w.t.Helper()
	state := james.State{ID: id, Apps: []james.App{}}
	for _, a := range apps {
		name, tags, _ := strings.Cut(a, " ")
		state.Apps = append(state.Apps, james.App{Name: name, Tags: james.MustTags(tags)})
	}
	_, err := w.fleet.SetDesired(w.t.Context(), "admin", james.SetDesiredRequest{State: state, Force: true})
	check(w.t, err)
}

func (w *world) device() james.DeviceStatus {
	w.t.Helper()
	d, err := w.fleet.Device(w.t.Context(), id)
	check(w.t, err)
	return d
}

// holds checks a file below the install root; content "" means that there is none.
func (w *world) holds(name, content string) {
	w.t.Helper()
	raw, err := os.ReadFile(filepath.Join(w.path("root"), name))
	if content == "" && os.IsNotExist(err) {
		return
	}
	if string(raw) != content {
		w.t.Errorf("%s holds %.60q (%v), want %.60q", name, raw, err, content)
	}
}

// link passes connections on to a server and counts the bytes that come from it.
type link struct {
	addr, target string

	mu    sync.Mutex
	down  bool
	full  bool  // takes no connections beyond those that it has
	cutAt int64 // bytes after which the connection in use is cut, once; 0 for never
	from  int64
	conns map[net.Conn]bool
}

func newLink(t *testing.T, target string) *link {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	k := &link{addr: l.Addr().String(), target: target, conns: map[net.Conn]bool{}}
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			passing.Go(func() { k.pass(in) })
		}
	})
	t.Cleanup(func() { l.Close(); k.setDown(true); passing.Wait() })
	return k
}

// setDown cuts the link or mends it.
func (k *link) setDown(down bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.down = down
	for c := range k.conns {
		if down {
			c.Close()
		}
	}
}

// setFull has the link take no further connections, or take them again.
func (k *link) setFull(full bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.full = full
}

// cutAfter cuts the connection that has carried n bytes more from the server.
func (k *link) cutAfter(n int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.cutAt = k.from + n
}

func (k *link) carried() int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.from
}

func (k *link) hold(c net.Conn) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.conns[c] = true
	return !k.down && !k.full
}

func (k *link) pass(in net.Conn) {
	defer in.Close()
	out, err := net.Dial("tcp", k.target)
	if err != nil || !k.hold(in) {
		return
	}
	defer out.Close()
	go func() { io.Copy(out, in); out.Close() }()
	buf := make([]byte, 8<<10)
	for {
		n, err := out.Read(buf)
		k.mu.Lock()
		k.from += int64(n)
		cut := k.cutAt > 0 && k.from >= k.cutAt
		if cut {
			k.cutAt = 0
		}
		k.mu.Unlock()
		if _, werr := in.Write(buf[:n]); err != nil || werr != nil || cut {
			return
		}
	}
}
