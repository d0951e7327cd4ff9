package blob

import (
	"context"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// Subject names a blob in errors.
func Subject(digest james.Digest) string { return "blob " + digest.Short() }

// NotFound returns the error of a blob that is not there.
func NotFound(digest james.Digest) error {
	return james.Errorf(james.KindNotFound, Subject(digest), "is not in the store")
}

// Ended returns the error of using a Writer after its end, which is a defect of
// the caller.
func Ended() error {
	return james.Errorf(james.KindInternal, "new blob", "used after its commit or abort")
}

// Swept returns the error of a Writer whose bytes were taken for abandoned.
func Swept() error {
	return james.Errorf(james.KindInterrupted, "new blob", "it took so long that its bytes were swept away as abandoned").
		WithHint("Start again; nothing was stored.")
}

// Interrupted returns the error of a context that has ended, nil while it has not.
func Interrupted(ctx context.Context, subject string) error {
	if ctx.Err() == nil {
		return nil
	}
	return james.Errorf(james.KindInterrupted, subject, "%w", context.Cause(ctx))
}

// Until returns w, which fails once the context has ended.
func Until(ctx context.Context, subject string, w io.Writer) io.Writer {
	return untilWriter{ctx, subject, w}
}

type untilWriter struct {
	ctx     context.Context
	subject string
	w       io.Writer
}

func (u untilWriter) Write(p []byte) (int, error) {
	if err := Interrupted(u.ctx, u.subject); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}

// Closed returns the error of using a Reader after its Close, which is a defect
// of the caller.
func Closed(digest james.Digest) error {
	return james.Errorf(james.KindInternal, Subject(digest), "read after its close")
}

// Seek returns the position that io.Seeker means by offset and whence, for a
// Reader at pos of size bytes. It fails with james.KindInvalid, for a position
// before the start too; one after the end is allowed.
func Seek(pos, size, offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
		pos = 0
	case io.SeekCurrent:
	case io.SeekEnd:
		pos = size
	default:
		return 0, james.Errorf(james.KindInvalid, "seek", "%d is no whence", whence)
	}
	if pos+offset < 0 {
		return 0, james.Errorf(james.KindInvalid, "seek", "the position %d is before the start", pos+offset)
	}
	return pos + offset, nil
}
