package server

import (
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"time"
)

// What is sampled for the mutex and block profiles: one of mutexFraction times that
// somebody waits for a lock, and of what waits otherwise one for each blockRate of
// waiting. A poll that is held is one sample when it ends.
const (
	mutexFraction = 100
	blockRate     = 10 * time.Millisecond
)

// addProfiles serves the profiles of this process below /debug/pprof/, and begins to
// sample for those that are off by default. The command line is not among them: a
// password may stand in it.
func addProfiles(mux *http.ServeMux) {
	runtime.SetMutexProfileFraction(mutexFraction)
	runtime.SetBlockProfileRate(int(blockRate))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
}

// profiled reports whether the listener for operators serves profiles: only to this
// machine, unless it is said otherwise.
func (d *jamesd) profiled() bool {
	if d.opsConn == nil {
		return false
	}
	addr, ok := d.opsConn.Addr().(*net.TCPAddr)
	return d.o.pprofRemote || ok && addr.IP.IsLoopback()
}
