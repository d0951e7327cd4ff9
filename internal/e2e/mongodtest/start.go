package mongodtest

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/need"
)

// process is a running server. It ends when its standard input does, at the
// latest when the kernel closes that at the end of this process.
type process struct {
	cmd   *exec.Cmd
	stdin io.Closer
	uri   string
}

// start runs the server and returns once it listens.
func start(program string, args ...string) (*process, error) {
	cmd := exec.Command(program, args...)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		err = cmd.Wait() // it has closed its output, so it has ended
		return nil, fmt.Errorf("starting %s: %w\n%s", program, err, complaint.Bytes())
	}
	return &process{cmd, in, strings.TrimSpace(line)}, nil
}

// Server is a server of a test's own, with its databases in a directory, for
// tests in which it goes away. It is never the one that EnvURI names.
type Server struct {
	t            testing.TB
	program, dir string
	listen       string
	running      *process
}

// Start returns a running server that ends with the test. It skips or fails as
// URI does.
func Start(t testing.TB) *Server {
	t.Helper()
	program, err := builtOnce()
	if err != nil {
		need.Lack(t, need.MongoDB, "no MongoDB server for tests: %v", err)
	}
	s := &Server{t: t, program: program, dir: t.TempDir(), listen: "127.0.0.1:0"}
	s.Restart()
	u, err := url.Parse(s.running.uri)
	if err != nil {
		t.Fatal(err)
	}
	s.listen = u.Host
	t.Cleanup(s.Kill)
	return s
}

// URI returns the URI of a database on the server. It stays the same over a
// restart.
func (s *Server) URI(database string) string { return "mongodb://" + s.listen + "/" + database }

// Kill ends the server at once, as a crash would.
func (s *Server) Kill() {
	if s.running == nil {
		return
	}
	s.running.cmd.Process.Signal(os.Kill)
	s.running.cmd.Wait() // says that it was killed
	s.running.stdin.Close()
	s.running = nil
}

// Hang has the server say nothing more, and take nothing, as behind a network that is cut;
// GoOn ends that.
func (s *Server) Hang() { s.running.cmd.Process.Signal(syscall.SIGSTOP) }

// GoOn ends what Hang has begun.
func (s *Server) GoOn() { s.running.cmd.Process.Signal(syscall.SIGCONT) }

// Restart starts the server again, after Kill.
func (s *Server) Restart() {
	s.t.Helper()
	p, err := start(s.program, "-listen", s.listen, "-dir", s.dir)
	if err != nil {
		s.t.Fatal(err)
	}
	s.running = p
}
