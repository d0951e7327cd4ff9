package e2e_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/need"
)

// binDir holds the programs that the scripts run.
var binDir string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "jamesd-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binDir = dir
	build := exec.Command("go", "build", "-o", dir+"/", "./cmd/...")
	build.Dir = "../.."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "cannot build the programs: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// TestScripts runs every script of testdata/script on each store. A script finds
// the place of its store in $DB.
func TestScripts(t *testing.T) {
	t.Parallel()
	stores := []struct {
		name string
		db   func(t testing.TB, work string) string
	}{
		{"embedded", func(_ testing.TB, work string) string { return filepath.Join(work, "db") }},
		{"mongodb", func(t testing.TB, _ string) string { return mongodtest.URI(t) }},
	}
	for _, s := range stores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			if s.name == "mongodb" {
				mongodtest.URI(t) // skips or fails here, once, where there is none
			}
			testscript.Run(t, testscript.Params{
				Dir: "testdata/script",
				Setup: func(env *testscript.Env) error {
					return setup(t, env, s.name, s.db(t, env.WorkDir))
				},
				Cmds:      commands,
				Condition: func(cond string) (bool, error) { return condition(cond, s.name) },
			})
		})
	}
}

func setup(tb testing.TB, env *testscript.Env, store, db string) error {
	repo, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	env.Setenv("PATH", binDir+string(os.PathListSeparator)+os.Getenv("PATH"))
	env.Setenv("DB", db)
	env.Setenv("STORE", store)
	env.Setenv("REPO", repo)
	env.Setenv("BIN", binDir)
	env.Setenv("HOME", env.WorkDir)
	env.Setenv("JAMESD_CA", filepath.Join(env.WorkDir, "pki/ca.crt"))
	env.Setenv("JAMESD_CERT", filepath.Join(env.WorkDir, "pki/admin.crt"))
	env.Setenv("JAMESD_KEY", filepath.Join(env.WorkDir, "pki/admin.key"))
	w := newWorld(tb, env)
	env.Values[worldKey{}] = w
	env.Defer(w.stopAll)
	return nil
}

// condition knows, beside testscript's own: realdata (the folder of real
// packages is there), root, embedded and mongodb (the store), and qemu (agents of other
// processors can run). What package need requires fails instead of being false.
func condition(cond, store string) (bool, error) {
	switch cond {
	case "embedded", "mongodb":
		return cond == store, nil
	case "realdata":
		_, err := os.Stat("../../../shared/realdata")
		return has(need.Published, err)
	case "qemu":
		_, errArm := lookQemu("arm")
		_, errArm64 := lookQemu("arm64")
		return has(need.QEMU, errors.Join(errArm, errArm64))
	case "root":
		if os.Geteuid() != 0 {
			return has(need.Root, errors.New("not the superuser"))
		}
		return true, nil
	}
	return false, fmt.Errorf("unknown condition %q", cond)
}

// has reports whether a thing is there, which err says, or fails where it must be.
func has(thing need.Thing, err error) (bool, error) {
	if err != nil && thing.Required() {
		return false, fmt.Errorf("%s is required: %w", thing, err)
	}
	return err == nil, nil
}
