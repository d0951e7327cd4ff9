package agent

import (
	"context"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

const (
	// maxVain is how often a download is resumed without a byte of progress.
	maxVain = 6
	// syncEvery is how many bytes of a download a power cut may cost.
	syncEvery = 8 << 20
	// fetchLimit is how long the server may take to begin an answer, with the
	// retries of the client.
	fetchLimit = 5 * time.Minute
	// readLimit is how long the disk may take for one read or write.
	readLimit = 5 * time.Minute
)

// transfer is one download of an archive into its part file.
type transfer struct {
	*fetcher
	packet *james.Packet
	use    func(int64) // is called before bytes are written
	log    logrus.FieldLogger
	part   *disk.Appender
	sum    hash.Hash
	have   int64 // bytes in the part file, all of them in sum
	synced int64
}

// download completes the part file of an archive, verifies it and gives it its
// name. On a failure the part file stays.
func (f *fetcher) download(ctx context.Context, p *james.Packet, use func(int64)) error {
	name := partName(p.Archive.Digest)
	sum, have, err := f.state.sum(name, p.Archive.Size)
	if err != nil {
		return err
	}
	if have > p.Archive.Size {
		return james.Errorf(james.KindCorrupt, "archive of "+p.Name, "has more than %d bytes", p.Archive.Size)
	}
	part, err := f.state.disk.OpenAppend(name)
	if err != nil {
		return err
	}
	t := &transfer{fetcher: f, packet: p, use: use, part: part, sum: sum, have: have, synced: have,
		log: f.log.WithFields(logrus.Fields{"packet": p.App().String(), "size": p.Archive.Size})}
	err = t.complete(ctx)
	if err := errors.Join(err, part.Close()); err != nil {
		return err
	}
	if got := james.Digest(sum.Sum(nil)); got != p.Archive.Digest {
		return james.Errorf(james.KindCorrupt, "archive of "+p.Name, "has digest %s instead of %s", got.Short(), p.Archive.Digest.Short())
	}
	return f.state.finish(name, archiveName(p.Archive.Digest))
}

// complete streams until the whole archive is there, over as many connections as
// it takes. It gives up on an error that will not go away and after maxVain
// connections in a row that brought nothing.
func (t *transfer) complete(ctx context.Context) error {
	t.log.WithField("offset", t.have).Info(map[bool]string{true: "resuming the download", false: "downloading"}[t.have > 0])
	for vain := 0; t.have < t.packet.Archive.Size; {
		before := t.have
		err := t.stream(ctx)
		if err == nil {
			t.unreachable = false
			break
		}
		if vain++; t.have > before {
			vain = 1
		}
		t.unreachable = lostLink(err)
		if ctx.Err() != nil || !t.unreachable || vain > maxVain {
			return err
		}
		wait := t.pause.after(vain)
		t.expect(wait + readLimit)
		t.log.WithError(err).WithFields(logrus.Fields{"offset": t.have, "retry": wait.Round(time.Millisecond)}).Info("resuming the download after a lost connection")
		if sleep(ctx, wait) != nil {
			return err
		}
	}
	return t.part.Sync()
}

// stream appends what one connection brings. A connection that is silent for too
// long is given up.
func (t *transfer) stream(ctx context.Context) error {
	a := t.packet.Archive
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	silent := time.AfterFunc(t.stall, func() {
		cancel(james.Errorf(james.KindInterrupted, "archive of "+t.packet.Name, "no byte arrived for %s", t.stall))
	})
	defer silent.Stop()
	t.expect(t.stall + fetchLimit)
	body, err := t.server.Archive(ctx, t.packet.Digest, a, t.have)
	if err != nil {
		return cause(ctx, err)
	}
	defer body.Close()
	buf := make([]byte, 64<<10)
	for t.have < a.Size {
		silent.Reset(t.stall)
		t.expect(t.stall + readLimit)
		n, err := body.Read(buf[:min(int64(len(buf)), a.Size-t.have)])
		silent.Stop() // what the disk takes is not the server's silence
		if werr := t.write(buf[:n]); werr != nil {
			return &diskError{werr}
		}
		if err := t.throttle(ctx, n); err != nil {
			return cause(ctx, err)
		}
		if err != nil && t.have < a.Size {
			return t.broke(cause(ctx, err))
		}
	}
	return nil
}

func (t *transfer) write(b []byte) error {
	t.use(int64(len(b)))
	if _, err := t.part.Write(b); err != nil {
		return err
	}
	t.sum.Write(b)
	t.have += int64(len(b))
	if t.progress != nil {
		t.progress(t.packet, t.have)
	}
	if t.have-t.synced < syncEvery {
		return nil
	}
	t.synced = t.have
	t.status("downloading %s, %d %%", t.packet.App(), 100*t.have/t.packet.Archive.Size)
	return t.part.Sync()
}

// diskError is a failure of the device's own disk, whose kind may be that of a
// lost connection.
type diskError struct{ error }

func (e *diskError) Unwrap() error { return e.error }

// lostLink reports whether another connection may bring what this one did not.
func lostLink(err error) bool {
	var own *diskError
	return james.KindOf(err).Retryable() && !errors.As(err, &own)
}

// broke returns the error of a body that ended too early. However the connection
// broke, it is worth another one, unless the error says otherwise.
func (t *transfer) broke(err error) error {
	var e *james.Error
	if errors.As(err, &e) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return james.Errorf(james.KindInterrupted, "archive of "+t.packet.Name, "the connection broke after %d of %d bytes: %w",
		t.have, t.packet.Archive.Size, err)
}

// cause returns why ctx was cancelled, if it was, instead of err, which then
// only says that it was.
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil {
		return c
	}
	return err
}
