package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// listenOps opens the listener for operators. What it serves is not protected,
// so an address that other machines reach must be meant.
func listenOps(addr string, remote bool) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, listenError("--metrics-addr", err)
	}
	if !remote && !resolved.IP.IsLoopback() {
		return nil, config.UsageError(james.Errorf(james.KindInvalid, "--metrics-addr", "%s can be reached by other machines", addr).
			WithHint("Use an address of this machine only, such as 127.0.0.1:2762, or add --metrics-remote."))
	}
	conn, err := net.ListenTCP("tcp", resolved)
	if err != nil {
		return nil, listenError("--metrics-addr", err)
	}
	return conn, nil
}

// newOps returns the server of the listener for operators.
func newOps(s *state, m *metrics, profiled bool) *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.ready(r.Context()); err != nil {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintf(w, "not ready: %v\n", err)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", m.handler())
	if profiled {
		addProfiles(mux)
	}
	return &http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       5 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       3 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
}

// ready fails when a request of a device would now be turned away, and says why.
func (s *state) ready(ctx context.Context) error {
	if s.stopping.Load() {
		return james.Errorf(james.KindUnavailable, "", "jamesd is stopping")
	}
	if c := s.site.Load(); c != nil {
		return c.Ready()
	}
	f := s.fleet.Load()
	if f == nil {
		cause := s.getCause()
		if cause == nil {
			return james.Errorf(james.KindUnavailable, "store", "it is being opened")
		}
		return cause
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return f.Ready(ctx)
}
