package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/trusch/jamesd/internal/e2e/powercut/drive"
)

// patience bounds every wait for a machine; nothing takes nearly as long when all
// is well.
const patience = 3 * time.Minute

// line is a line of a machine's console.
type line struct {
	at   time.Time
	text string
}

// machine is a virtual machine that is on.
type machine struct {
	cmd     *exec.Cmd
	in      io.Writer
	lines   chan line // closed when the machine is off
	served  sync.WaitGroup
	sockets []net.Listener
}

// hardware is what a machine is made of.
type hardware struct {
	kernel, initrd, arguments string
	drives                    []*drive.Drive
	sockets                   string // directory for the sockets of the drives
	server                    string // address of jamesd on this host
	console                   io.Writer
}

// turnOn starts a machine.
func (t tools) turnOn(h hardware) (*machine, error) {
	m := &machine{lines: make(chan line, 1<<16)}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := []string{"-accel", "tcg", "-cpu", "max", "-m", "512", "-display", "none", "-nodefaults", "-no-user-config", "-no-reboot", "-serial", "stdio",
		"-kernel", h.kernel, "-initrd", h.initrd, "-append", "console=ttyS0 quiet loglevel=1 panic=-1 no_timer_check " + h.arguments,
		"-netdev", fmt.Sprintf("user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:2761-cmd:%s %s %s", self, relayCommand, h.server),
		"-device", "virtio-net-pci,netdev=net,romfile="}
	for n, d := range h.drives {
		socket, err := m.serve(d, h.sockets)
		if err != nil {
			m.closeSockets()
			return nil, err
		}
		args = append(args, "-blockdev", fmt.Sprintf("driver=nbd,node-name=disk%d,server.type=unix,server.path=%s", n, socket),
			"-device", fmt.Sprintf("virtio-blk-pci,drive=disk%d,write-cache=on", n))
	}
	m.cmd = exec.Command(t["qemu-system-x86_64"], args...)
	if err := m.start(h.console); err != nil {
		m.closeSockets()
		return nil, err
	}
	return m, nil
}

// start starts qemu in a process group of its own, which the terminal's Ctrl-C
// does not reach, and which ends with this process.
func (m *machine) start(console io.Writer) error {
	m.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	in, err := m.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, pipe, err := os.Pipe()
	if err != nil {
		return err
	}
	m.in, m.cmd.Stdout, m.cmd.Stderr = in, pipe, pipe
	err = m.cmd.Start()
	pipe.Close()
	if err != nil {
		out.Close()
		return err
	}
	go m.read(out, console)
	return nil
}

func (m *machine) read(out io.ReadCloser, console io.Writer) {
	defer out.Close()
	defer close(m.lines)
	in := bufio.NewScanner(out)
	in.Buffer(nil, 16<<20)
	for in.Scan() {
		text := strings.TrimRight(in.Text(), "\r")
		fmt.Fprintf(console, "%.400s\n", text)
		m.lines <- line{time.Now(), text}
	}
}

// serve offers a drive on a socket, to one client.
func (m *machine) serve(d *drive.Drive, dir string) (socket string, err error) {
	socket = filepath.Join(dir, fmt.Sprintf("%d", len(m.sockets)))
	os.Remove(socket)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return "", err
	}
	m.sockets = append(m.sockets, l)
	m.served.Go(func() {
		conn, err := l.Accept()
		if err == nil {
			err = d.Serve(conn)
		}
		if err != nil && !errors.Is(err, net.ErrClosed) {
			fmt.Fprintf(os.Stderr, "powercut: drive: %v\n", err)
		}
	})
	return socket, nil
}

func (m *machine) closeSockets() {
	for _, l := range m.sockets {
		l.Close()
	}
	m.served.Wait()
}

// turnOff cuts the power: qemu is gone, and nothing more reaches the drives when
// turnOff returns. It returns the lines of the console that nobody has read.
func (m *machine) turnOff() (rest []line) {
	_ = syscall.Kill(-m.cmd.Process.Pid, syscall.SIGKILL)
	_ = m.cmd.Wait()
	m.closeSockets()
	for l := range m.lines {
		rest = append(rest, l)
	}
	return rest
}

// tell sends the guest a line.
func (m *machine) tell(command string) error {
	_, err := io.WriteString(m.in, command+"\n")
	return err
}

// errOff says that a machine has ended by itself.
var errOff = errors.New("the machine has turned itself off")

// next returns the next line of the console. A guest that says that something
// failed is an error.
func (m *machine) next(ctx context.Context) (line, error) {
	select {
	case l, ok := <-m.lines:
		if !ok {
			return l, errOff
		}
		if text, failed := strings.CutPrefix(l.text, "@failed "); failed {
			return l, fmt.Errorf("the guest says: %s", text)
		}
		return l, nil
	case <-time.After(patience):
		return line{}, fmt.Errorf("the machine has said nothing for %s", patience)
	case <-ctx.Done():
		return line{}, ctx.Err()
	}
}

// await returns the rest of the first line with the prefix.
func (m *machine) await(ctx context.Context, prefix string, each ...func(text string)) (string, error) {
	for {
		l, err := m.next(ctx)
		if err != nil {
			return "", fmt.Errorf("waiting for %q: %w", prefix, err)
		}
		for _, f := range each {
			f(l.text)
		}
		if rest, ok := strings.CutPrefix(l.text, prefix); ok {
			return strings.TrimSpace(rest), nil
		}
	}
}
