package transfer

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/pkg/james"
)

// maxVain is how often a connection is made again without a byte of progress.
const maxVain = 6

// body reads one answer of the server over as many connections as it takes. It
// gives up on an error that will not go away and after maxVain connections in a
// row that brought nothing.
type body struct {
	t    *transfer
	ctx  context.Context
	name string
	// open returns the bytes of the answer from offset on.
	open func(ctx context.Context, offset int64) (io.ReadCloser, error)
	at   int64
	size int64 // of the answer, -1 where it is not known

	conn   io.ReadCloser
	silent *time.Timer
	cancel context.CancelCauseFunc
	within context.Context // of conn
}

// Read returns what arrives, over another connection after one was lost.
func (b *body) Read(p []byte) (int, error) {
	for {
		if b.size >= 0 {
			if b.at >= b.size {
				return 0, io.EOF
			}
			p = p[:min(int64(len(p)), b.size-b.at)]
		}
		n, err := b.read(p)
		if n > 0 {
			b.at += int64(n)
			b.t.vain = 0
			if err := b.t.arrived(b.ctx, n); err != nil {
				return n, err
			}
		}
		if err == nil || errors.Is(err, io.EOF) {
			return n, err
		}
		b.hangUp()
		if err := b.again(err); err != nil || n > 0 {
			return n, err
		}
	}
}

// read reads from the connection, which it makes where there is none.
func (b *body) read(p []byte) (int, error) {
	if b.conn == nil {
		if err := b.dial(); err != nil {
			return 0, err
		}
	}
	b.silent.Reset(b.t.o.Stall)
	b.t.o.Expect(b.t.o.Stall + diskLimit)
	n, err := b.conn.Read(p)
	b.silent.Stop() // what the disk takes is not the server's silence
	b.t.meter.read(n)
	if errors.Is(err, io.EOF) && b.at+int64(n) < b.size {
		err = io.ErrUnexpectedEOF
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	return n, b.broke(cause(b.within, err))
}

func (b *body) dial() error {
	ctx, cancel := context.WithCancelCause(b.ctx)
	silent := time.AfterFunc(b.t.o.Stall, func() {
		cancel(james.Errorf(james.KindInterrupted, b.name, "no byte arrived for %s", b.t.o.Stall))
	})
	b.t.o.Expect(b.t.o.Stall + answerLimit)
	conn, err := b.open(ctx, b.at)
	silent.Stop()
	if err != nil {
		err = cause(ctx, err)
		cancel(nil)
		return err
	}
	b.conn, b.silent, b.within, b.cancel = conn, silent, ctx, cancel
	return nil
}

// broke returns the error of a connection that ended too early. However it broke,
// it is worth another one, unless the error says otherwise.
func (b *body) broke(err error) error {
	var e *james.Error
	if errors.As(err, &e) {
		return err
	}
	return james.Errorf(james.KindInterrupted, b.name, "the connection broke after %d bytes: %w", b.at, err)
}

// again waits before another connection is made, unless err says that it is not
// worth it.
func (b *body) again(err error) error {
	t := b.t
	t.f.unreachable = mayGoAway(err)
	if b.ctx.Err() != nil || !t.f.unreachable {
		return err
	}
	if james.AfterOf(err) == 0 { // otherwise it is a server that wants to be asked again
		t.vain++
	}
	if t.vain > maxVain {
		return err
	}
	wait := james.Patience(err, t.f.pause.After(max(1, t.vain)), t.f.pause.Rand())
	t.o.Expect(wait + diskLimit)
	t.log.WithError(err).WithFields(logrus.Fields{"offset": b.at, "retry": wait.Round(time.Millisecond)}).Info("resuming the download after a lost connection")
	if backoff.Sleep(b.ctx, wait) != nil {
		return err
	}
	return nil
}

// mayGoAway reports whether another connection may bring what this one did not: it
// was lost, or the server is not well.
func mayGoAway(err error) bool {
	var own *diskError
	kind := james.KindOf(err)
	return (kind.Retryable() || kind == james.KindInternal) && !errors.As(err, &own)
}

func (b *body) hangUp() {
	if b.conn != nil {
		_ = b.conn.Close() // what came was read
		b.cancel(nil)
		b.conn = nil
	}
}

// Close ends the connection.
func (b *body) Close() { b.hangUp() }

// cause returns why ctx was cancelled, if it was, instead of err, which then only
// says that it was.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}
