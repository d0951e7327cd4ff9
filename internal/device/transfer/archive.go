package transfer

import (
	"context"
	"errors"
	"io"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// errEnough ends an archive of which all that is wanted is there.
var errEnough = errors.New("all that is wanted is there")

// tail is how much of an archive is read for nothing rather than to end the
// connection, in bytes.
const tail = 256 << 10

// fromArchive stores the files of a packet that are lacking from its archive.
func (t *transfer) fromArchive(ctx context.Context, l lack) error {
	a, err := t.archiveOf(ctx, l.Packet)
	if err != nil {
		return err
	}
	name := "archive of " + l.Packet.Name
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b := &body{t: t, ctx: ctx, name: name, size: a.Size, open: func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		return t.o.Server.Archive(ctx, l.Packet.Digest, a, offset)
	}}
	t.meter = newMeter(t.o.Now)
	in := readAhead(cancel, b)
	t.in = in
	x := &unpacking{t: t, l: l, left: make(map[*james.Entry]bool)}
	for _, k := range l.entries {
		x.left[&l.Manifest.Entries[k]] = true
	}
	x.enough = func() bool { _, n := t.meter.elapsed(); return a.Size-n > tail }
	err = archive.Extract(ctx, in, l.Manifest, x.file)
	broke := in.failure()
	in.Close()
	t.f.rates.learn(t.meter, a.Format, true)
	switch {
	case errors.Is(err, errEnough):
		return nil
	case broke != nil && !isOnDisk(err):
		return broke
	case err == nil && len(x.left) > 0:
		return james.Errorf(james.KindCorrupt, name, "does not have %d of the files that are wanted", len(x.left))
	}
	return err
}

// archiveOf returns the archive of a packet, which the server is asked for where
// nobody has told it.
func (t *transfer) archiveOf(ctx context.Context, p *james.Packet) (james.Archive, error) {
	a := p.Archive
	if a.Digest.IsZero() {
		a = t.f.archives[p.Digest]
	}
	if !a.Digest.IsZero() {
		return a, nil
	}
	t.o.Expect(answerLimit)
	a, err := t.o.Server.ArchiveOf(ctx, p.Digest)
	if err == nil {
		t.f.archives[p.Digest] = a
	}
	return a, err
}

// unpacking stores the files of an archive.
type unpacking struct {
	t      *transfer
	l      lack
	left   map[*james.Entry]bool
	enough func() bool // whether to end early when nothing is left
}

func (x *unpacking) file(e *james.Entry, content io.Reader) error {
	if !x.left[e] {
		n, err := io.Copy(io.Discard, content)
		x.t.meter.decoded(n)
		return err
	}
	if err := x.t.write(e, content, true); err != nil {
		return err
	}
	delete(x.left, e)
	if len(x.left) == 0 && x.enough() {
		return errEnough
	}
	return nil
}

func isOnDisk(err error) bool {
	var own *diskError
	return errors.As(err, &own)
}
