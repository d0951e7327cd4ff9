package blob

import (
	"context"

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
