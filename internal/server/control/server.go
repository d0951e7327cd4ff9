package control

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// Limits of an answer.
const (
	// stall is how long who asks may take for the next bytes of an answer: a backup
	// that nobody reads keeps blobs from being collected.
	stall = 10 * time.Minute
	// progressEvery is the time between two lines that tell how far it is.
	progressEvery = 200 * time.Millisecond
)

// Operations are what can be asked for.
type Operations struct {
	Check  func(context.Context, fleet.CheckOptions) (fleet.Checkup, error)
	Backup func(context.Context, io.Writer) (backup.Summary, error)
}

// Server serves the socket of a directory.
type Server struct {
	http   *http.Server
	file   string // the socket
	cancel context.CancelCauseFunc
	served sync.WaitGroup
	calls  sync.WaitGroup
}

// Serve makes the socket in dir, in the place of one that a killed process has left,
// and serves it until Close. The caller has the lock of dir. It fails with
// james.KindUnavailable where there can be no socket.
func Serve(dir string, o Operations) (*Server, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, unavailable(dir, err)
	}
	conn, err := listen(abs)
	if err != nil {
		return nil, unavailable(dir, err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &Server{file: filepath.Join(abs, Name), cancel: cancel}
	s.http = &http.Server{
		Handler: s.handler(o), ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 16 << 10,
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	s.served.Go(func() { _ = s.http.Serve(conn) }) // until Close
	return s, nil
}

func unavailable(dir string, err error) error {
	return james.Errorf(james.KindUnavailable, filepath.Join(dir, Name), "%w", err).
		WithHint("Without it jamesd check and jamesd backup need jamesd to be stopped. The file system must be one that can have sockets.")
}

// listen makes a socket that only the owner can use before it gets its name.
func listen(dir string) (net.Listener, error) {
	const suffix = ".new"
	p, err := newPlace(dir, len(suffix))
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := os.Remove(p.path(suffix)); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	conn, err := net.ListenUnix("unix", &net.UnixAddr{Name: p.path(suffix), Net: "unix"})
	if err != nil {
		return nil, err
	}
	conn.SetUnlinkOnClose(false) // it has another name by then
	if err = os.Chmod(p.path(suffix), 0o600); err == nil {
		err = os.Rename(p.path(suffix), p.path(""))
	}
	if err != nil {
		conn.Close()
		os.Remove(p.path(suffix))
		return nil, err
	}
	return conn, nil
}

// closing is how long answers may take to say that jamesd is stopping.
const closing = 5 * time.Second

// Close ends what was asked for, waits for it, and removes the socket.
func (s *Server) Close() error {
	s.cancel(james.Errorf(james.KindInterrupted, "", "jamesd was stopped"))
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.served.Wait()
	s.calls.Wait()
	return os.Remove(s.file)
}

func (s *Server) handler(o Operations) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /check", func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		defer s.calls.Done()
		check(w, r, o)
	})
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		defer s.calls.Done()
		writeBackup(w, r, o)
	})
	return mux
}

// check answers with lines; the last tells what was found, or what has failed.
func check(w http.ResponseWriter, r *http.Request, o Operations) {
	out := &stream{w: w, control: http.NewResponseController(w)}
	var told time.Time
	sum, err := o.Check(r.Context(), fleet.CheckOptions{
		Repair: r.URL.Query().Get("repair") == "true",
		Found:  func(p fleet.Problem) { out.line(line{Problem: &p}) },
		Progress: func(done, total int64) {
			if now := time.Now(); now.Sub(told) >= progressEvery {
				told = now
				out.line(line{Progress: &progress{done, total}})
			}
		},
	})
	if err != nil {
		out.line(line{Failure: failure(because(r.Context(), err))})
		return
	}
	out.line(line{Checkup: &sum})
}

// writeBackup answers with a backup; the trailer tells how it ended.
func writeBackup(w http.ResponseWriter, r *http.Request, o Operations) {
	w.Header().Set("Trailer", trailer)
	w.Header().Set("Content-Type", "application/zstd")
	end := line{}
	sum, err := o.Backup(r.Context(), &stream{w: w, control: http.NewResponseController(w)})
	if err != nil {
		end.Failure = failure(because(r.Context(), err))
	} else {
		end.Backup = &sum
	}
	raw, _ := json.Marshal(end) // strings and numbers
	w.Header().Set(trailer, string(raw))
}

// because returns why the context was ended, or else err.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && ctx.Err() != nil {
		return cause
	}
	return err
}

// stream is the body of an answer, which fails when nobody reads it.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func (s *stream) Write(p []byte) (int, error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(stall)) // a connection of a socket has one
	return s.w.Write(p)
}

// line sends one. That nobody reads it ends the request's context.
func (s *stream) line(l line) {
	raw, _ := json.Marshal(l)
	if _, err := s.Write(append(raw, '\n')); err == nil {
		_ = s.control.Flush()
	}
}
