package sim_test

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/internal/sim"
)

// TestRefused: what cannot be meant is told in a sentence before anything is done.
func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := pki.Init(dir); err != nil {
		t.Fatal(err)
	}
	ca := []string{"--ca", filepath.Join(dir, "ca.crt"), "--ca-key", filepath.Join(dir, "ca.key"), "--addr", "127.0.0.1:1"}
	for _, row := range []struct {
		name string
		args []string
		code int
		says string
	}{
		{"no authority", nil, 2, "--ca and --ca-key are needed"},
		{"unknown flag", []string{"--devcies", "3"}, 2, "unknown flag: --devcies"},
		{"an argument", []string{"run"}, 2, "run: there is no such command"},
		{"no number", append(ca, "--devices", "many"), 2, `--devices: "many" is not a whole number`},
		{"no devices", append(ca, "--devices", "0"), 2, "--devices: 0 is not from 1 to 1000000"},
		{"no share", append(ca, "--slow", "some"), 2, `--slow: "some": is neither a number of devices nor a percentage such as 5%`},
		{"more shares than devices", append(ca, "--slow", "60%", "--flood", "60%"), 2, "are 120 devices together, there are 100"},
		{"address", append(ca, "--addr", "localhost"), 2, `--addr: "localhost" is not HOST:PORT`},
		{"mode", append(ca, "--mode", "wait"), 2, `--mode: "wait" is none of hold or poll`},
		{"boot", append(ca, "--boot", "1m"), 2, "--boot: 1m0s is longer than --duration, 20s"},
		{"nothing to change to", append(ca, "--change-every", "1s"), 2, "there is nothing to change to"},
		{"prefix", append(ca, "--prefix", "a/b"), 2, "--prefix: device id"},
		{"files", append(ca, "--devices", "1000000"), 1, "cannot be open, the limit is"},
		{"apps", append(ca, "--apps", "a b c"), 1, `--apps: "a b c" is not NAME TAG,TAG`},
		{"missing key", append(ca, "--ca-key", "/nowhere/ca.key"), 1, "cannot simulate a fleet: /nowhere/ca.key: there is no such file"},
		{"nothing there", append(ca, "--duration", "1s"), 1, "127.0.0.1:1: no device could connect, mostly: connection refused"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			var out, err bytes.Buffer
			code := sim.Main(config.Process{Args: row.args, Out: &out, Err: &err, Getenv: func(string) string { return "" }})
			if code != row.code || !strings.Contains(err.String(), row.says) || !strings.HasPrefix(err.String(), "jamesd-sim: ") {
				t.Errorf("%d: %s", code, err.String())
			}
		})
	}
}
