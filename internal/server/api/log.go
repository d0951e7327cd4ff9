package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

// accessLog writes a line about each request: at debug level for polls and
// looking, at info level for changes and refusals, at warn level for what went
// wrong here.
type accessLog struct {
	log     logrus.FieldLogger
	enabled func(logrus.Level) bool
}

func newAccessLog(log logrus.FieldLogger) accessLog {
	switch l := log.(type) {
	case *logrus.Logger:
		return accessLog{log, l.IsLevelEnabled}
	case *logrus.Entry:
		return accessLog{log, l.Logger.IsLevelEnabled}
	}
	return accessLog{log, func(logrus.Level) bool { return true }}
}

func (a accessLog) write(c *call, took time.Duration) {
	level := levelOf(c)
	if !a.enabled(level) {
		return
	}
	entry := a.log.WithFields(c.fields(took))
	switch level {
	case logrus.DebugLevel:
		entry.Debug("request")
	case logrus.InfoLevel:
		entry.Info("request")
	default:
		entry.Warn("request")
	}
}

func levelOf(c *call) logrus.Level {
	switch {
	case c.status >= http.StatusInternalServerError,
		c.status < http.StatusBadRequest && c.err != nil: // it failed in the middle of the answer
		return logrus.WarnLevel
	case c.status == http.StatusUnauthorized, c.status == http.StatusForbidden, c.route != nil && c.route.Change:
		return logrus.InfoLevel
	}
	return logrus.DebugLevel
}

func (c *call) fields(took time.Duration) logrus.Fields {
	f := logrus.Fields{
		"request": c.id, "method": c.r.Method, "path": c.r.URL.Path, "remote": c.r.RemoteAddr,
		"status": c.status, "ms": took.Milliseconds(), "in": c.body.read, "out": c.out,
	}
	if c.caller.role != 0 {
		f[c.caller.role.String()] = c.caller.name
	}
	if c.caller.via != "" {
		f[Cache.String()] = c.caller.via
	}
	if c.err != nil {
		f["kind"], f["error"] = james.KindOf(c.err), c.err
	}
	return f
}

// serverLog takes the lines that net/http's server logs.
type serverLog struct{ log logrus.FieldLogger }

// Write logs one line. Handshakes that end early are port scans and health
// checks of load balancers; other refused handshakes are for the operator.
func (s serverLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	rest, handshake := strings.CutPrefix(text, "http: TLS handshake error from ")
	if !handshake {
		s.log.WithField("error", text).Warn("http server")
		return len(line), nil
	}
	remote, cause, _ := strings.Cut(rest, ": ")
	entry := s.log.WithFields(logrus.Fields{"remote": remote, "error": cause})
	if strings.HasSuffix(cause, "EOF") || strings.HasSuffix(cause, "connection reset by peer") {
		entry.Debug("handshake failed")
	} else {
		entry.Info("handshake failed")
	}
	return len(line), nil
}
