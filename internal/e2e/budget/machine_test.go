package budget_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
)

// patience bounds every wait for a program.
const patience = 5 * time.Minute

// machine is the programs, as they are released, and certificates.
type machine struct {
	bin, pki string
	tree     *tree // made when it is first needed
	behind   bool  // servers give way to the fleet, as if its devices had processors of their own
}

func newMachine(b *testing.B) *machine {
	b.Helper()
	m := &machine{bin: b.TempDir(), pki: b.TempDir()}
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", m.bin+"/", "./cmd/jamesd", "./cmd/jamesc", "./cmd/jamesd-sim")
	build.Dir = "../../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	run(b, build)
	must(b, pki.Init(m.pki))
	must(b, pki.AddServer(m.pki, "server", nil))
	must(b, pki.AddAdmin(m.pki, "admin"))
	return m
}

func must(b *testing.B, err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

// run runs a command to its end.
func run(b *testing.B, cmd *exec.Cmd) {
	b.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// process is a program in the background.
type process struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

// start starts a program that ends with the benchmark.
func start(b *testing.B, cmd *exec.Cmd) *process {
	b.Helper()
	r, w, err := os.Pipe()
	must(b, err)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(b, cmd.Start())
	w.Close()
	b.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		r.Close()
	})
	return &process{cmd, bufio.NewReader(r)}
}

// line reads until a line matches and returns its first group.
func (p *process) line(b *testing.B, pattern string) string {
	b.Helper()
	re, seen := regexp.MustCompile(pattern), ""
	for {
		line, err := p.lines.ReadString('\n')
		seen += line
		if m := re.FindStringSubmatch(line); m != nil {
			return m[len(m)-1]
		}
		if err != nil {
			b.Fatalf("%s ended without printing %s; it printed:\n%s", p.cmd.Path, pattern, seen)
		}
	}
}

// memory returns a field of the process's status, VmRSS or VmHWM, in KiB.
func (p *process) memory(b *testing.B, field string) float64 {
	b.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	must(b, err)
	m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(raw)
	if m == nil {
		b.Fatalf("the process has no %s: it ended", field)
	}
	n, err := strconv.ParseFloat(string(m[1]), 64)
	must(b, err)
	return n
}

// server is a running jamesd.
type server struct {
	*process
	addr, metrics string
	begun         time.Time
	admin         *client.Client
}

// server returns the command that runs a server.
func (m *machine) server(file string, args ...string) *exec.Cmd {
	if m.behind {
		return exec.Command("nice", append([]string{"-n", "10", file}, args...)...)
	}
	return exec.Command(file, args...)
}

// jamesd starts a server on the directory db.
func (m *machine) jamesd(b *testing.B, db string) *server {
	b.Helper()
	return m.jamesdAt(b, "127.0.0.1:0", db)
}

// jamesdAt starts a server at an address.
func (m *machine) jamesdAt(b *testing.B, addr, db string) *server {
	b.Helper()
	p := start(b, m.server(filepath.Join(m.bin, "jamesd"), "--addr", addr, "--metrics-addr", "127.0.0.1:0", "--db", db, "--cache-dir", b.TempDir(),
		"--poll-interval", "10m", // no device has its turn while all of them are connecting
		"--device-requests", "0", "--device-connections", "0", // a few devices send what a fleet does
		"--ca", m.pki+"/ca.crt", "--cert", m.pki+"/server.crt", "--key", m.pki+"/server.key"))
	s := &server{process: p, begun: time.Now()}
	s.addr = p.line(b, `msg=listening addr="?([^ "]+)`)
	s.metrics = p.line(b, `msg="metrics listening" addr="?([^ "]+)`)
	p.line(b, `msg=(ready)`)
	go io.Copy(io.Discard, p.lines)
	conf, err := pki.ClientTLS(m.pki+"/ca.crt", m.pki+"/admin.crt", m.pki+"/admin.key")
	must(b, err)
	s.admin, err = client.New(client.Options{Addr: s.addr, TLS: conf})
	must(b, err)
	return s
}

// stop ends the server.
func (s *server) stop() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// held waits until the server holds n polls.
func (s *server) held(b *testing.B, n int) {
	b.Helper()
	eventually(b, fmt.Sprintf("%d held polls", n), func() bool {
		resp, err := http.Get("http://" + s.metrics + "/metrics")
		must(b, err)
		defer resp.Body.Close()
		raw, err := io.ReadAll(resp.Body)
		must(b, err)
		return regexp.MustCompile(fmt.Sprintf(`(?m)^jamesd_polls_held %d$`, n)).Match(raw)
	})
}

func eventually(b *testing.B, what string, ok func() bool) {
	b.Helper()
	for limit := time.Now().Add(patience); !ok(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(limit) {
			b.Fatalf("no %s within %s", what, patience)
		}
	}
}
