package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// server is a jamesd on this host.
type server struct {
	cmd   *exec.Cmd
	addr  string
	admin *client.Client
}

var listening = regexp.MustCompile(`msg=listening addr="?([^ "]+)`)

// startServer starts a jamesd on loopback with its data, its log and the
// certificates below dir.
func startServer(ctx context.Context, program, dir string) (*server, error) {
	certs := filepath.Join(dir, "pki")
	log, err := os.Create(filepath.Join(dir, "jamesd.log"))
	if err != nil {
		return nil, err
	}
	out, pipe, err := os.Pipe()
	if err != nil {
		log.Close()
		return nil, err
	}
	s := &server{cmd: exec.Command(program, "--addr", "127.0.0.1:0", "--metrics-addr", "", "--db", filepath.Join(dir, "db"),
		"--ca", certs+"/ca.crt", "--cert", certs+"/server.crt", "--key", certs+"/server.key")}
	s.cmd.Stdout, s.cmd.Stderr = pipe, pipe
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = s.cmd.Start()
	pipe.Close()
	if err != nil {
		log.Close()
		out.Close()
		return nil, err
	}
	lines := bufio.NewReader(io.TeeReader(out, log))
	for s.addr == "" && err == nil {
		var text string
		text, err = lines.ReadString('\n')
		if m := listening.FindStringSubmatch(text); m != nil {
			s.addr = m[1]
		}
	}
	go func() {
		io.Copy(io.Discard, lines)
		out.Close()
		log.Close()
	}()
	if err == nil {
		err = s.connect(ctx, certs)
	}
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("jamesd did not start, see %s: %w", log.Name(), err)
	}
	return s, nil
}

func (s *server) connect(ctx context.Context, certs string) error {
	conf, err := pki.ClientTLS(certs+"/ca.crt", certs+"/admin.crt", certs+"/admin.key")
	if err != nil {
		return err
	}
	if s.admin, err = client.New(client.Options{Addr: s.addr, TLS: conf}); err != nil {
		return err
	}
	_, err = s.admin.Packets(ctx, "")
	return err
}

func (s *server) stop() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// makeCertificates makes those of the server, the admin and the devices.
func makeCertificates(dir string, ids []string) error {
	if err := pki.Init(dir); err != nil {
		return err
	}
	// The machine knows jamesd by the address that leads to it.
	if err := pki.AddServer(dir, "server", []string{"10.0.2.100"}); err != nil {
		return err
	}
	if err := pki.AddAdmin(dir, "admin"); err != nil {
		return err
	}
	for _, id := range ids {
		if err := pki.AddClient(dir, id); err != nil {
			return err
		}
	}
	return nil
}

// addPackets uploads the packets of all states.
func (s *server) addPackets(ctx context.Context, states []load.State) error {
	for _, state := range states {
		for _, p := range state {
			raw, err := p.Archive()
			if err != nil {
				return err
			}
			req := james.AddPacketRequest{Name: p.Name, Tags: james.MustTags(p.Version), Scripts: p.Scripts}
			if _, err := s.admin.AddPacket(ctx, req, bytes.NewReader(raw)); err != nil {
				return err
			}
		}
	}
	return nil
}

// want makes a state the desired one of a device.
func (s *server) want(ctx context.Context, id string, state load.State) error {
	_, err := s.admin.SetDesired(ctx, james.SetDesiredRequest{State: james.State{ID: id, Apps: state.Apps()}, Force: true})
	return err
}
