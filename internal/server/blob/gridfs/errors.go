package gridfs

import (
	"context"
	"errors"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// Codes of errors that the server answers with.
const (
	codeUnauthorized   = 13
	codeAuthentication = 18
	codeOutOfDiskSpace = 14031
)

// failed returns the driver's error as one about the database; ctx is the
// caller's context. It returns nil for a nil err.
func (s *store) failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if stopped := blob.Interrupted(ctx, s.address); stopped != nil {
		return stopped
	}
	e := james.Errorf(james.KindUnavailable, s.address, "%w", err)
	var answer mongo.ServerError
	switch {
	case errors.Is(err, mongo.ErrClientDisconnected):
		return e
	case !errors.As(err, &answer), mongo.IsNetworkError(err), mongo.IsTimeout(err):
		return e.WithHint("Does the database server run, and can this machine reach it?")
	case answer.HasErrorCode(codeUnauthorized), answer.HasErrorCode(codeAuthentication):
		return e.WithHint("The user in the database address must be known to the server and may need the role readWrite on the database.")
	case answer.HasErrorCode(codeOutOfDiskSpace):
		return e.WithHint("The disk of the database server is full: give it more room, or delete packets that no device needs any more, with jamesd-ctl delete-packet.")
	}
	return e
}

func corrupt(digest james.Digest, format string, args ...any) error {
	return james.Errorf(james.KindCorrupt, blob.Subject(digest), format, args...).
		WithHint("Somebody or something else has changed the database. Delete the packet and add it again.")
}
