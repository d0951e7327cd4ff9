package e2e_test

import (
	"io"
	"net/http"
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cmdFleet starts simulated devices in the background, which stay until `end NAME`:
// `fleet NAME COUNT [FLAG...]`. They call $JAMESD_ADDR.
func cmdFleet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: fleet NAME COUNT [FLAG...]")
	}
	worldOf(ts).start(ts, args[0], "jamesd-sim", append([]string{"--addr", ts.Getenv("JAMESD_ADDR"), "--devices", args[1], "--duration", "0",
		"--ca", ts.MkAbs("pki/ca.crt"), "--ca-key", ts.MkAbs("pki/ca.key")}, args[2:]...)...)
}

// cmdMetrics waits until the metrics of a jamesd match: `metrics NAME REGEXP`; `! metrics`
// looks at them once.
func cmdMetrics(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] metrics NAME REGEXP")
	}
	found, err := worldOf(ts).get(ts, args[0]).await(regexp.MustCompile(`msg="metrics listening".*? addr="?(127\.0\.0\.1:\d+)"?`), 1)
	ts.Check(err)
	re, last := regexp.MustCompile("(?m)"+args[1]), ""
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get("http://" + found[1] + "/metrics")
		ts.Check(err)
		raw, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		ts.Check(err)
		last = string(raw)
		if re.Match(raw) != neg {
			return
		}
		if neg {
			break
		}
	}
	ts.Fatalf("the metrics of %s (not) being like %s: %s", args[0], args[1], last)
}
