package site

import (
	"errors"
	"slices"
	"sync"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// link is the connection to jamesd as the cache experiences it.
type link struct {
	log logrus.FieldLogger

	mu   sync.Mutex
	lost error // nil while jamesd answers
}

// note takes notice of how a request to jamesd ended, and returns what a device is to
// be told of that. That jamesd begins or ceases to answer is logged.
func (l *link) note(err error) error {
	kind := james.KindOf(err)
	switch {
	case kind == james.KindInterrupted && !client.Answered(err):
		return err // who asked went away
	case err != nil && !client.Answered(err) && slices.Contains(unreached, kind):
		l.set(err)
		return james.Errorf(james.KindUnavailable, "jamesd", "the cache cannot ask it: %w", err)
	}
	l.set(nil)
	return cause(err)
}

// unreached are the kinds of error by which the client says that it had no answer of
// a jamesd.
var unreached = []james.Kind{james.KindUnavailable, james.KindUnauthenticated, james.KindInvalid, james.KindInternal}

func (l *link) set(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && l.lost != nil:
		l.log.Info("jamesd answers again")
	case err != nil && l.lost == nil:
		l.log.WithError(err).WithField("kind", james.KindOf(err)).Warn("no answer from jamesd")
	}
	l.lost = err
}

func (l *link) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// cause returns an error of jamesd without its operation, which is the device's
// request as well.
func cause(err error) error {
	var e *james.Error
	if !errors.As(err, &e) || e.Op == "" {
		return err
	}
	return &james.Error{Kind: e.Kind, Subject: e.Subject, Err: e.Err, Hint: e.Hint}
}
