// Package session keeps the TLS session of a client of one server, so that its next
// handshake resumes it.
//
// crypto/tls forgets a session when a handshake with it fails, whatever that failed of. A
// server that was started again, or has too much to do, breaks the handshakes of many
// clients; each of them would forget its session and have a full handshake the
// next time, when the server can afford that least. So what always holds here: a handshake
// that came to nothing, because nobody answered or the connection broke, leaves the session
// as it was, and one that the server or the client has refused takes it away. As it might
// be the session that somebody in between does not let through, it is given up after some
// handshakes in a row that came to nothing.
package session

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
)

// Session is a tls.ClientSessionCache of one session. The zero value has none. It is safe
// for concurrent use.
type Session struct {
	mu    sync.Mutex
	state *tls.ClientSessionState
	vain  int // handshakes in a row that came to nothing
}

// patience is after how many handshakes that came to nothing the next one is a full one.
// With the pauses of a device these take ten minutes and more.
const patience = 8

// Get implements tls.ClientSessionCache.
func (s *Session) Get(string) (*tls.ClientSessionState, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.state != nil
}

// Put implements tls.ClientSessionCache.
func (s *Session) Put(_ string, state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = state
	if state != nil {
		s.vain = 0
	}
}

// Handshake carries out the handshake of a client's connection whose configuration has
// cache. It fails as the handshake does. A cache that is no Session is what it is in
// crypto/tls.
func Handshake(ctx context.Context, conn *tls.Conn, cache tls.ClientSessionCache) error {
	s, ok := cache.(*Session)
	if !ok {
		return conn.HandshakeContext(ctx)
	}
	before, _ := s.Get("")
	err := conn.HandshakeContext(ctx)
	if err != nil && before != nil && nothing(err) {
		s.keep(before)
	}
	return err
}

// keep takes back a session that was forgotten for nothing.
func (s *Session) keep(state *tls.ClientSessionState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != nil { // of another connection meanwhile
		return
	}
	if s.vain++; s.vain < patience {
		s.state = state
	}
}

// nothing reports whether a handshake has ended without a verdict of either side.
func nothing(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op == "read" || op.Op == "write" // not of TLS, which has "remote error" and "local error"
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}
