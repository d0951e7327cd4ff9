package server_test

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestNotify listens where systemd would.
func TestNotify(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer conn.Close()
	heard := func(want string) {
		t.Helper()
		buf := make([]byte, 4096)
		must(t, conn.SetReadDeadline(time.Now().Add(patience)))
		for {
			n, err := conn.Read(buf)
			must(t, err)
			if strings.Contains(string(buf[:n]), want) {
				return
			}
		}
	}
	env := []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=100000"}
	p := run(t, env, standard(t.TempDir())...)
	heard("READY=1")
	for range 3 {
		heard("WATCHDOG=1")
	}
	p.stop(t)
	heard("STOPPING=1")

	// Waiting for a database is no reason to be started again and again.
	p = run(t, env, standard("mongodb://127.0.0.1:1/test?serverSelectionTimeoutMS=100")...)
	heard("STATUS=waiting for the store")
	p.stop(t)
}
