package server_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/server"
	"github.com/trusch/jamesd/pkg/client"
)

// certs is a directory with an authority and what it issued.
var certs string

// TestMain makes the test binary a jamesd where it is asked to be one: signals,
// exit codes and the listeners are those of a real process.
func TestMain(m *testing.M) {
	if os.Getenv("JAMESD_IS_THIS_TEST") != "" {
		os.Exit(server.Main(config.OS()))
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "server-test-")
		check(err)
		defer os.RemoveAll(dir)
		certs = dir
		check(pki.Init(dir))
		check(pki.AddServer(dir, "server", nil))
		check(pki.AddAdmin(dir, "root"))
		check(pki.AddCache(dir, "cache", []string{"127.0.0.1"}))
		check(pki.AddClient(dir, "device-1"))
		return m.Run()
	}())
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// process is a running jamesd.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed at each new line
}

// standard are the flags that every jamesd of the tests gets.
func standard(db string) []string {
	file := func(name string) string { return filepath.Join(certs, name) }
	return []string{"--db", db, "--addr", "127.0.0.1:0", "--metrics-addr", "127.0.0.1:0", "--log-format", "json",
		"--ca", file("ca.crt"), "--cert", file("server.crt"), "--key", file("server.key")}
}

// run starts jamesd with exactly these arguments.
func run(t testing.TB, env []string, args ...string) *process {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	p := &process{cmd: exec.Command(exe, args...), ended: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Env = append(append(os.Environ(), "JAMESD_IS_THIS_TEST=1"), env...)
	stderr, err := p.cmd.StderrPipe()
	must(t, err)
	must(t, p.cmd.Start())
	go p.follow(stderr)
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("jamesd %v printed:\n%s", args, p.output())
		}
	})
	return p
}

func (p *process) follow(stderr io.Reader) {
	defer close(p.ended)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, lines.Text())
		close(p.more)
		p.more = make(chan struct{})
		p.mu.Unlock()
	}
	p.cmd.Wait()
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// patience is more than anything takes that is waited for: the calls of a database that
// hangs take half a minute each.
const patience = 3 * time.Minute

// logged waits for the line with that message and returns its fields.
func (p *process) logged(t testing.TB, message string) map[string]any {
	t.Helper()
	timeout := time.After(patience)
	for seen := 0; ; {
		p.mu.Lock()
		lines, more := p.lines[seen:], p.more
		seen = len(p.lines)
		p.mu.Unlock()
		for _, line := range lines {
			var fields map[string]any
			if json.Unmarshal([]byte(line), &fields) == nil && fields["msg"] == message {
				return fields
			}
		}
		select {
		case <-more:
		case <-p.ended:
			t.Fatalf("it ended without saying %q:\n%s", message, p.output())
		case <-timeout:
			t.Fatalf("it does not say %q:\n%s", message, p.output())
		}
	}
}

// addr returns where jamesd listens, by the message that says so.
func (p *process) addr(t testing.TB, message string) string {
	t.Helper()
	addr, _ := p.logged(t, message)["addr"].(string)
	return addr
}

func (p *process) signal(t testing.TB, s os.Signal) {
	t.Helper()
	must(t, p.cmd.Process.Signal(s))
}

// exit waits for the end and returns the exit code.
func (p *process) exit(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		t.Fatalf("it does not end:\n%s", p.output())
		return 0
	}
}

// client returns a client of that certificate.
func (p *process) client(t testing.TB, name string) *client.Client {
	t.Helper()
	file := func(suffix string) string { return filepath.Join(certs, name+suffix) }
	var conf *tls.Config
	conf, err := pki.ClientTLS(filepath.Join(certs, "ca.crt"), file(".crt"), file(".key"))
	must(t, err)
	c, err := client.New(client.Options{Addr: p.addr(t, "listening"), TLS: conf, Retries: -1})
	must(t, err)
	t.Cleanup(c.Close)
	return c
}

// get asks the listener for operators.
func (p *process) get(t testing.TB, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), "GET", "http://"+p.addr(t, "metrics listening")+path, nil)
	must(t, err)
	tr := &http.Transport{DisableKeepAlives: true}
	resp, err := tr.RoundTrip(req)
	must(t, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, string(raw)
}

// stop ends jamesd as an init system does, and expects it to end well.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 0 {
		t.Fatalf("it exited with %d:\n%s", code, p.output())
	}
}

var errUnfinished = errors.New("unfinished")
