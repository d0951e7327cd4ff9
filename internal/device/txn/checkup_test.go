package txn_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
)

// checkup runs Check as a process beside the device would.
func (w *world) checkup() *txn.Checkup {
	w.t.Helper()
	root, err := disk.Open(w.root, disk.Options{Hook: func(before bool, op disk.Op) error {
		if op.Name != "create" { // of the lock, which is there
			w.t.Errorf("checking does %+v", op)
		}
		return nil
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	defer root.Close()
	state, err := root.At(w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	defer state.Close()
	c, err := txn.Check(root, state)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// TestCheckOfAnInterruptedTransaction ends the device at an operation: Check says
// what it was in the middle of, changes nothing, and all is well after a start.
func TestCheckOfAnInterruptedTransaction(t *testing.T) {
	t.Parallel()
	want := reference(t, dirs)
	phases := map[string]bool{}
	for _, n := range points(want.ops, 1) {
		tr := newTrial(t, dirs)
		tr.hook = dieAt(n, true)
		tr.run()
		tr.hook = nil
		tr.close()
		before := treeOf(t, filepath.Dir(tr.root), true)
		c := tr.checkup()
		if d := diff(before, treeOf(t, filepath.Dir(tr.root), true)); d != "" {
			t.Fatalf("operation %d: checking changed\n%s", n, d)
		}
		for _, f := range c.Faults {
			if f.Do == "" || !strings.HasPrefix(f.Path, "/") {
				t.Errorf("operation %d: %+v", n, f)
			}
			phases[f.What] = true
		}
		tr.revive(fmt.Sprintf("operation %d", n), want)
		if c := tr.checkup(); len(c.Faults) > 0 || c.Busy {
			t.Errorf("operation %d, after a start: %+v", n, c)
		}
	}
	for _, phase := range []string{"before it changed anything", "while it changed the device", "after it was committed; what is left is to clean up"} {
		if !phases["a transaction of revision 1 was interrupted "+phase] {
			t.Errorf("never %q, but %v", phase, phases)
		}
	}
}

// TestCheckFindsLeftovers looks at work areas that no journal knows.
func TestCheckFindsLeftovers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	id := string(must(os.ReadFile(filepath.Join(w.state, "id"))))
	for what, name := range map[string]string{"by a power cut": ".jamesc/new/0.0", "holds 1 old files": ".jamesc/old/0"} {
		w.put(".jamesc/owner-"+id+"/", name)
		c := w.checkup()
		if len(c.Faults) != 1 || !strings.Contains(c.Faults[0].What, what) || c.Faults[0].Path != filepath.Join(w.root, ".jamesc") {
			t.Errorf("%s: %+v", name, c.Faults)
		}
		os.RemoveAll(filepath.Join(w.root, ".jamesc"))
	}
	if c := w.checkup(); len(c.Faults) > 0 {
		t.Errorf("%+v", c.Faults)
	}
}
