// Package logging makes the logger of a program: logrus, one line per message.
// Messages are constant and lower-case, what varies is a field. The Mains make the
// logger; everything else is handed a logrus.FieldLogger, or makes do with Discard.
package logging

import (
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

var levels = map[string]logrus.Level{
	"debug": logrus.DebugLevel,
	"info":  logrus.InfoLevel,
	"warn":  logrus.WarnLevel,
	"error": logrus.ErrorLevel,
}

var formats = map[string]logrus.Formatter{
	"text": &logrus.TextFormatter{FullTimestamp: true, DisableColors: true, TimestampFormat: time.RFC3339},
	"json": &logrus.JSONFormatter{TimestampFormat: time.RFC3339Nano},
}

// New returns a logger that writes to w. level is debug, info, warn or error;
// format is text or json. Anything else fails with KindInvalid.
func New(w io.Writer, level, format string) (*logrus.Logger, error) {
	lvl, ok := levels[level]
	if !ok {
		return nil, james.Errorf(james.KindInvalid, "log level", "%q is none of debug, info, warn, error", level)
	}
	formatter, ok := formats[format]
	if !ok {
		return nil, james.Errorf(james.KindInvalid, "log format", "%q is neither text nor json", format)
	}
	log := logrus.New()
	log.SetOutput(w)
	log.SetLevel(lvl)
	log.SetFormatter(formatter)
	log.AddHook(requests{})
	return log, nil
}

// NewBusy is New for a program of which thousands of goroutines log at a time: none waits
// until the lines of others are written. flush waits until all are, and is to be called
// before the program ends.
func NewBusy(w io.Writer, level, format string) (log *logrus.Logger, flush func(), err error) {
	out := newWriter(w)
	log, err = New(out, level, format)
	if err != nil {
		return nil, nil, err
	}
	log.SetNoLock() // out has one
	return log, out.flush, nil
}

// requests has a line about an error name the request that the error ended, by which
// the log of the other side names it, too.
type requests struct{}

// Levels implements logrus.Hook.
func (requests) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (requests) Fire(e *logrus.Entry) error {
	err, ok := e.Data[logrus.ErrorKey].(error)
	if _, named := e.Data["request"]; !ok || named {
		return nil
	}
	if id := james.RequestOf(err); id != "" {
		e.Data["request"] = id
	}
	return nil
}

// Discard returns a logger that writes nothing, for who was given none.
func Discard() *logrus.Logger {
	log := logrus.New()
	log.SetOutput(io.Discard)
	return log
}
