package agent

import (
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/pkg/james"
)

// link is the connection to the server as the agent experiences it.
type link struct {
	pause backoff.Backoff
	log   logrus.FieldLogger
	tries int        // in vain since the last answer
	kind  james.Kind // of the failure that was logged
}

// lost notes that the server did not answer, or not as it should, and returns
// how long to wait, which is not less than what a server that has too much to do says. It is logged once, and again when it fails in another way.
func (l *link) lost(err error) time.Duration {
	l.tries++
	wait := james.Patience(err, l.pause.After(l.tries), l.pause.Rand())
	log := l.log.WithError(err).WithFields(logrus.Fields{"kind": james.KindOf(err), "tries": l.tries, "retry": wait.Round(time.Millisecond)})
	if kind := james.KindOf(err); kind != l.kind {
		l.kind = kind
		log.Warn("no answer from the server, trying on")
	} else {
		log.Debug("no answer from the server")
	}
	return wait
}

// found notes that the server answered.
func (l *link) found() {
	if l.tries > 0 {
		l.log.WithField("tries", l.tries).Info("the server answers again")
	}
	l.tries, l.kind = 0, ""
}
