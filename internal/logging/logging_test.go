package logging_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/logging"
	"github.com/trusch/jamesd/pkg/james"
)

func TestLevels(t *testing.T) {
	t.Parallel()
	for level, want := range map[string]string{"debug": "diwe", "info": "iwe", "warn": "we", "error": "e"} {
		var out bytes.Buffer
		log, err := logging.New(&out, level, "json")
		if err != nil {
			t.Fatal(err)
		}
		log.Debug("d")
		log.Info("i")
		log.Warn("w")
		log.Error("e")
		var got string
		for dec := json.NewDecoder(&out); dec.More(); {
			var line struct{ Msg, Level, Time string }
			if err := dec.Decode(&line); err != nil {
				t.Fatal(err)
			}
			if line.Time == "" || line.Level == "" {
				t.Errorf("%+v lacks its time or level", line)
			}
			got += line.Msg
		}
		if got != want {
			t.Errorf("%s logs %q, want %q", level, got, want)
		}
	}
}

func TestTextIsOneLineWithFields(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logging.New(&out, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	log.WithField("device", "device-1").Info("poll\nanswered")
	if got := out.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, "device=device-1") || !strings.Contains(got, "level=info") {
		t.Errorf("%q", got)
	}
}

func TestRefuses(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, level, format, want string }{
		{"level", "loud", "text", `log level: "loud" is none of debug, info, warn, error`},
		{"a level of logrus", "panic", "text", `log level: "panic" is none of`},
		{"format", "info", "xml", `log format: "xml" is neither text nor json`},
	} {
		_, err := logging.New(nil, tc.level, tc.format)
		if james.KindOf(err) != james.KindInvalid || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.want)
		}
	}
}

// TestRequests: a line about an error names the request that ended with it, unless it
// names one already.
func TestRequests(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	log, err := logging.New(&out, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	failed := james.Cannot("poll", "", james.Errorf(james.KindUnavailable, "x", "away").InRequest("abc-1"))
	log.WithError(failed).Info("a")
	log.WithError(failed).WithField("request", "own").Info("b")
	log.WithError(james.Errorf(james.KindInternal, "x", "y")).Info("c")
	log.Info("d")
	var got []string
	for dec := json.NewDecoder(&out); dec.More(); {
		var line struct{ Request string }
		if err := dec.Decode(&line); err != nil {
			t.Fatal(err)
		}
		got = append(got, line.Request)
	}
	if strings.Join(got, ",") != "abc-1,own,," {
		t.Errorf("the lines name %q", got)
	}
}
