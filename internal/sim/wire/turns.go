package wire

import (
	"context"
	"net"
	"runtime"

	"github.com/trusch/jamesd/internal/turnstile"
)

// Turns has the handshakes of many devices on one machine go on as if each had a processor
// of its own: what one has to say to the server's answer does not wait for all who have
// yet to begin, and none is connected for long before it says something.
type Turns struct {
	work    *turnstile.Turnstile
	opening chan struct{} // one for each that is connected or about to be, and has said nothing
}

// maxOpening is how many may be connected that have said nothing.
const maxOpening = 256

// NewTurns returns the turns of one machine.
func NewTurns() *Turns {
	return &Turns{turnstile.New(runtime.GOMAXPROCS(0)), make(chan struct{}, maxOpening)}
}

// open waits until one more may connect.
func (t *Turns) open(ctx context.Context) (*turn, error) {
	select {
	case t.opening <- struct{}{}:
		return &turn{of: t, opening: true}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// turn is a connection below TLS. In its handshake it has a place to work from when it
// begins, and from when something arrives, until it waits for more.
type turn struct {
	net.Conn
	of                     *Turns
	opening, working, over bool
}

// begin waits for the place to begin the handshake from.
func (t *turn) begin(ctx context.Context) error {
	if !t.of.work.Enter(ctx, false) {
		return ctx.Err()
	}
	t.working = true
	return nil
}

// Read implements net.Conn.
func (t *turn) Read(p []byte) (int, error) {
	if t.over {
		return t.Conn.Read(p)
	}
	t.rest()
	n, err := t.Conn.Read(p)
	if n > 0 {
		t.working = t.of.work.Enter(context.Background(), true) // those who have places work
	}
	return n, err
}

// rest lets others work, and connect.
func (t *turn) rest() {
	if t.working {
		t.working = false
		t.of.work.Leave()
	}
	if t.opening {
		t.opening = false
		<-t.of.opening
	}
}

// end ends the handshake's part of the connection's life.
func (t *turn) end() {
	t.rest()
	t.over = true
}
