package server_test

import (
	"crypto/tls"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// TestResumption: what was connected to a jamesd before it was killed resumes its session
// at the next one on the directory.
func TestResumption(t *testing.T) {
	t.Parallel()
	args := standard(t.TempDir())
	p := run(t, nil, args...)
	p.logged(t, "ready")
	addr := p.addr(t, "listening")
	conf, err := pki.ClientTLS(filepath.Join(certs, "ca.crt"), filepath.Join(certs, "device-1.crt"), filepath.Join(certs, "device-1.key"))
	must(t, err)
	var full, resumed atomic.Int32
	conf.VerifyConnection = func(cs tls.ConnectionState) error {
		if cs.DidResume {
			resumed.Add(1)
		} else {
			full.Add(1)
		}
		return nil
	}
	c, err := client.New(client.Options{Addr: addr, TLS: conf, Retries: -1})
	must(t, err)
	defer c.Close()
	poll := func() {
		t.Helper()
		if _, err := c.Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}}); err != nil {
			t.Fatal(err)
		}
	}
	poll()
	c.Close()
	poll()
	if full.Load() != 1 || resumed.Load() != 1 {
		t.Errorf("at one jamesd %d full handshakes and %d resumed", full.Load(), resumed.Load())
	}
	must(t, p.cmd.Process.Kill())
	p.exit(t)
	c.Close()
	p = run(t, nil, append(args, "--addr", addr)...)
	p.logged(t, "ready")
	poll()
	if full.Load() != 1 || resumed.Load() != 2 {
		t.Errorf("with the next jamesd %d full handshakes and %d resumed", full.Load(), resumed.Load())
	}
	p.stop(t)
}
