package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/trusch/jamesd/"

// pkg is what `go list` says of a package, without its tests.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
	Standard   bool
}

func (p pkg) name() string { return strings.TrimPrefix(p.ImportPath, module) }

// imports returns the packages of this module that p imports, by their names.
func (p pkg) imports() []string {
	var own []string
	for _, i := range p.Imports {
		if name, ok := strings.CutPrefix(i, module); ok {
			own = append(own, name)
		}
	}
	return own
}

func listPackages(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Imports,Deps,Standard", "./...")
	cmd.Dir = "../.."
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	var all []pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
}

// TestDirection holds the imports of every package against the house's plan, so
// that nobody has to remember it.
func TestDirection(t *testing.T) {
	t.Parallel()
	packages := listPackages(t)
	if len(packages) < 20 {
		t.Fatalf("go list found only %d packages", len(packages))
	}
	for _, p := range packages {
		checkPure(t, p)
		checkSides(t, p)
		checkTechnology(t, p)
		checkOwners(t, p)
	}
}

// pure are the packages that may import nothing of the module but these.
var pure = map[string][]string{
	"pkg/james":        nil,
	"internal/resolve": {"pkg/james"},
	"internal/archive": {"internal/xz", "pkg/james"},
	"internal/xz":      nil,
	"internal/delta":   {"internal/delta/regzip", "pkg/james"},
	"internal/stream":  {"internal/delta", "internal/readahead", "internal/xz", "pkg/james"},

	"internal/readahead":    nil,
	"internal/delta/regzip": nil,
	"pkg/client":            {"internal/session", "pkg/james"},

	"internal/backoff":   nil,
	"internal/session":   nil,
	"internal/turnstile": nil,
	"internal/sim/wire":  {"internal/session", "internal/turnstile", "pkg/james"},
	"internal/sim": {"internal/backoff", "internal/config", "internal/pki", "internal/sim/wire", "internal/version",
		"pkg/client", "pkg/james"},
	"internal/device/transfer": {"internal/archive", "internal/backoff", "internal/device/disk", "internal/device/txn",
		"internal/readahead", "internal/stream", "pkg/client", "pkg/james"},
	"internal/device/journal":   {"internal/device/disk", "pkg/james"},
	"internal/device/disk":      {"pkg/james"},
	"internal/device/inventory": {"internal/device/disk", "pkg/james"},
	"internal/throttle":         {"internal/backoff"},
	"internal/server/store":     {"pkg/james"},
	"internal/server/blob":      {"pkg/james"},
	"internal/server/cache":     {"pkg/james"},
	"internal/server/parking":   nil,
	"internal/server/timed":     {"internal/server/blob", "internal/server/store", "pkg/james"},
	"internal/server/gate":      {"internal/turnstile"},
	"internal/server/limit":     {"internal/backoff", "internal/throttle"},
	"internal/server/tickets":   {"internal/server/store", "pkg/james"},
	"internal/server/site":      {"internal/server/cache", "pkg/client", "pkg/james"},
	"internal/device/sitecache": {"pkg/client", "pkg/james"},

	"internal/meter":              nil,
	"internal/server/blob/packed": nil,
	"internal/server/backup":      {"internal/server/blob", "internal/server/fleet", "internal/version", "pkg/james"},
	"internal/server/control":     {"internal/server/backup", "internal/server/fleet", "pkg/james"},
}

func checkPure(t *testing.T, p pkg) {
	allowed, ok := pure[p.name()]
	if !ok {
		return
	}
	for _, i := range p.imports() {
		if !slices.Contains(allowed, i) {
			t.Errorf("%s imports %s; it may import only %v of this module", p.name(), i, allowed)
		}
	}
	if p.name() != "pkg/james" {
		return
	}
	for _, d := range p.Deps {
		if strings.Contains(strings.Split(d, "/")[0], ".") {
			t.Errorf("pkg/james depends on %s; it may use the standard library only", d)
		}
	}
}

// checkSides keeps the server side and the device side apart.
func checkSides(t *testing.T, p pkg) {
	sides := []string{"internal/server", "internal/device", "internal/ctl", "internal/sim"}
	for _, side := range sides {
		if !within(p.name(), side) {
			continue
		}
		for _, d := range p.Deps {
			for _, other := range sides {
				if other != side && within(strings.TrimPrefix(d, module), other) {
					t.Errorf("%s depends on %s; the two sides know only what is common", p.name(), d)
				}
			}
		}
	}
}

// technologies are the packages that are named after one; siblings do not know
// each other, and only the Mains know them.
var technologies = []string{
	"internal/server/store/memstore", "internal/server/store/boltstore", "internal/server/store/mongostore",
	"internal/server/blob/memblob", "internal/server/blob/dirblob", "internal/server/blob/gridfs",
}

func checkTechnology(t *testing.T, p pkg) {
	for _, i := range p.imports() {
		if slices.Contains(technologies, i) && p.name() != "internal/server" {
			t.Errorf("%s imports %s; only jamesd's Main builds implementations", p.name(), i)
		}
	}
}

// owners says which packages may import a foreign one directly.
var owners = map[string][]string{
	"go.mongodb.org/mongo-driver": {"internal/server/store/mongostore", "internal/server/blob/gridfs"},
	"go.etcd.io/bbolt":            {"internal/server/store/boltstore"},
	"github.com/spf13/cobra":      {"internal/server", "internal/device", "internal/ctl", "internal/sim"},
	"github.com/ulikunitz/xz":     {"internal/xz"},
	"github.com/klauspost/compress": {
		"internal/server/backup", "internal/server/supply",
		"internal/archive", "internal/server/blob/blobtest", "internal/server/blob/packed", "internal/stream",
	},
	"github.com/prometheus/client_golang":   {"internal/server/api", "internal/server"},
	"github.com/cyphar/filepath-securejoin": {"internal/device/disk", "internal/device/inventory"},
}

func checkOwners(t *testing.T, p pkg) {
	if p.name() == "internal/e2e/mongodtest" { // a helper of tests, in no binary
		return
	}
	for foreign, allowed := range owners {
		for _, i := range p.Imports {
			if within(i, foreign) && !slices.Contains(allowed, p.name()) {
				t.Errorf("%s imports %s; only %v may", p.name(), i, allowed)
			}
		}
	}
	if p.name() != "cmd/jamesc" {
		return
	}
	for _, d := range p.Deps {
		if within(d, "go.mongodb.org/mongo-driver") || within(d, "go.etcd.io/bbolt") || within(d, "github.com/prometheus/client_golang") {
			t.Errorf("jamesc links %s, which only the server needs", d)
		}
	}
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
