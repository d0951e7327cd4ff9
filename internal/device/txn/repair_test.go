package txn_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/internal/need"
	"github.com/trusch/jamesd/pkg/james"
)

func TestRepair(t *testing.T) {
	t.Parallel()
	for _, c := range damages {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.root {
				need.Superuser(t)
			}
			w := newWorld(t)
			w.mustStart()
			w.victim()
			good := w.tree(false)
			c.do(w)
			spoilt := w.tree(false)
			w.asked = 0
			did, err := w.in.Repair(t.Context(), w.packets, txn.Verification{})
			if err != nil {
				t.Fatal(err)
			}
			w.checkClean()
			var stays, edited, broken []string
			for _, change := range did.Left {
				if change.Kind != james.ChangedConfig {
					stays = append(stays, fmt.Sprintf("%s %s", change.Path, change.Kind))
					if why := did.Reasons[change]; why == nil || c.leaves == "" || !strings.Contains(why.Error(), c.leaves) {
						t.Errorf("%s is left, as %v", change.Path, why)
					}
				}
			}
			for change := range strings.FieldsFuncSeq(c.want, func(r rune) bool { return r == ',' }) {
				if strings.HasSuffix(change, " config") {
					edited = append(edited, change)
				} else {
					broken = append(broken, change)
				}
			}
			if got := strings.Join(stays, ","); (got == "") != (c.leaves == "") || got != "" && got != c.want {
				t.Errorf("%s is left", got)
			}
			if len(did.Left)-len(stays) != len(edited) || did.Repaired+len(stays) != len(broken) {
				t.Errorf("%d are repaired, left are %v", did.Repaired, did.Left)
			}
			if (w.asked > 0) != c.fetches {
				t.Errorf("%d archives were fetched", w.asked)
			}
			for path, line := range w.tree(false) {
				if strings.HasPrefix(path, "etc/") && line != spoilt[path] {
					t.Errorf("it has changed configuration: %s %s, was %s", path, line, spoilt[path])
				}
			}
			want := good
			if len(broken) == 0 || c.leaves != "" {
				want = spoilt
			}
			if d := diff(want, w.tree(false)); d != "" && !c.unlike {
				t.Errorf("it is not as it should be:\n%s", d)
			}
		})
	}
}

// Several apps, directories in directories, and one packet that is not to be had.
func TestRepairMuch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.must(install(w.pack(t, "a v1", nil, dir("d").mode(0o711), dir("d/e").mode(0o750), file("d/e/f/a", "a"), file("etc/a", "a"))),
		install(w.pack(t, "b v1", logging(), file("d/e/b", "b"), file("opt/b", "b"))))
	gone := w.pack(t, "c v1", nil, file("opt/c", "c"), file("opt/mode", "m"))
	w.must(install(gone))
	w.do(os.Remove(filepath.Join(filepath.Dir(w.root), "log"))) // of the scripts
	good := w.tree(false)
	delete(w.archives, gone.Digest)
	w.do(os.RemoveAll(w.path("d")))
	w.write("opt/b", "bad")
	w.write("opt/c", "bad")
	w.do(os.Chmod(w.path("opt/mode"), 0o600))
	did, err := w.in.Repair(t.Context(), missing{w.packets}, txn.Verification{})
	if err != nil {
		t.Fatal(err)
	}
	if got := list(did.Left); got != "c: opt/c content" || did.Repaired != 6 {
		t.Errorf("left: %s, repaired %d", got, did.Repaired)
	}
	for change, err := range did.Reasons {
		if james.KindOf(err) != james.KindNotFound {
			t.Errorf("%s: %v", change, err)
		}
	}
	w.write("opt/c", "c")
	if d := diff(good, w.tree(false)); !strings.Contains(d, "opt/c") || strings.Count(d, "\n") != 1 { // its time
		t.Errorf("it is not as it was:\n%s", d)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(w.root), "log")); err == nil {
		t.Error("a script has run")
	}
	w.must(remove(must(w.packets.find("b"))))
	w.must(remove(must(w.packets.find("a"))))
	if got := w.names(); got != "opt/ opt/c opt/mode" {
		t.Errorf("after the removals there is %s", got)
	}
}

// missing are packets of which some are not on the server any more.
type missing struct{ *packets }

func (m missing) Fetch(ctx context.Context, o *txn.Order) error {
	for _, w := range o.Wants {
		if m.archives[w.Packet.Digest] == nil {
			return james.Errorf(james.KindNotFound, "packet "+w.Packet.Name, "does not exist")
		}
	}
	return m.packets.Fetch(ctx, o)
}

// find returns the packet of a name.
func (p *packets) find(name string) (*james.Packet, error) {
	for digest, m := range p.manifests {
		if m.Name == name {
			return &james.Packet{Digest: digest, Name: m.Name, Tags: m.Tags}, nil
		}
	}
	return nil, errors.New("no such packet")
}

// damage makes the device that the tests of crashes repair.
func damage(w *world) {
	w.victim()
	w.write("opt/file", "bad")
	w.do(os.Remove(w.path("opt/one")))
	w.do(os.Chmod(w.path("opt/other"), 0o600))
	w.do(os.Remove(w.path("theirs")))
	w.do(os.Remove(w.path("opt/fifo")))
	w.write("etc/conf", "mine")
	w.do(os.Remove(w.path("opt/link")))
	w.do(os.Mkdir(w.path("opt/link"), 0o700))
	w.do(os.Chmod(w.path("opt"), 0o700))
	w.age()
}

// TestRepairSurvives ends the device at every operation of a repair, and has every
// operation fail: afterwards it is as it was before or as it is to be.
func TestRepairSurvives(t *testing.T) {
	t.Parallel()
	fresh := func() *trial {
		w := newWorld(t)
		base := filepath.Join(scratch(t), "w")
		w.root, w.state = base+"/root", base+"/state"
		w.do(os.MkdirAll(w.root, 0o755))
		w.mustStart()
		damage(w)
		return &trial{world: w, before: w.tree(true)}
	}
	tr := fresh()
	var ops atomic.Int64
	tr.hook = func(before bool, _ disk.Op) error {
		if before {
			ops.Add(1)
		}
		return nil
	}
	must(tr.in.Repair(t.Context(), tr.packets, txn.Verification{}))
	tr.checkClean()
	after := tr.tree(false)
	ends := map[string]int{}
	try := func(when string, hook disk.Hook) {
		t.Helper()
		tr := fresh()
		tr.hook = hook
		tr.in.Repair(t.Context(), tr.packets, txn.Verification{})
		tr.hook = nil
		if r, err := tr.start(); r != nil || err != nil {
			t.Fatalf("%s: the start: %+v, %v", when, r, err)
		}
		tr.checkClean()
		switch got := diff(tr.before, tr.tree(true)); {
		case got == "":
			ends["before"]++
		case diff(after, tr.tree(false)) == "":
			ends["after"]++
		default:
			t.Fatalf("%s: it is between:\n%s\nand\n%s", when, got, diff(after, tr.tree(false)))
		}
		tr.close()
	}
	for n := int64(1); n <= ops.Load(); n++ {
		try(fmt.Sprintf("death after operation %d", n), dieAt(n, n%2 == 0))
	}
	for _, n := range points(ops.Load(), 1) {
		var count atomic.Int64
		try(fmt.Sprintf("no space at operation %d", n), func(before bool, op disk.Op) error {
			// What cannot be stored stays damaged, alone.
			if before && count.Add(1) == n && !strings.Contains(op.Path, "/source") {
				return syscall.ENOSPC
			}
			return nil
		})
	}
	t.Logf("%d operations: %v", ops.Load(), ends)
	if ends["before"] == 0 || ends["after"] == 0 {
		t.Error("it never ended in one of the two ways")
	}
}

// A repair that was cut off is ended by the agent's next transaction, without a
// restart, and by the next repair.
func TestRepairIsCutOff(t *testing.T) {
	t.Parallel()
	for name, then := range map[string]func(w *world, b *txn.Installer) error{
		"the agent's next transaction": func(w *world, b *txn.Installer) error {
			if r := w.apply(install(w.pack(t, "b v1", nil, file("bin/b", "b")))); r.Result != james.Committed {
				return errors.New(r.Error)
			}
			return nil
		},
		"the agent looks": func(w *world, b *txn.Installer) error {
			if !w.in.Unfinished() {
				return errors.New("it sees nothing")
			}
			r, err := w.in.Recover(context.Background())
			if r != nil {
				return fmt.Errorf("it reports %+v", r)
			}
			return err
		},
		"the next repair": func(w *world, b *txn.Installer) error { return b.EndRepair(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			damage(w)
			before := w.tree(true)
			dying := must(disk.Open(w.root, disk.Options{Hook: dieAt(60, true)}))
			o := w.opts
			o.Disk, o.StateDir, o.Beside = dying, w.state, true
			first := must(txn.Open(o))
			if _, err := first.Repair(t.Context(), w.packets, txn.Verification{}); err == nil {
				t.Fatal("it did not end in the middle")
			}
			first.Close()
			dying.Close()
			if !w.in.Unfinished() {
				t.Fatal("it did not end in the middle")
			}
			b := w.beside(nil)
			if _, err := b.Verify(t.Context(), txn.Verification{}); james.KindOf(err) != james.KindConflict {
				t.Errorf("a verification meanwhile: %v", err)
			}
			if err := then(w, b); err != nil {
				t.Fatal(err)
			}
			w.checkClean()
			for path, line := range w.tree(true) {
				if was, ok := before[path]; ok && was != line && path != "." {
					t.Errorf("%s is %s, was %s", path, line, was)
				}
			}
			if w.in.Unfinished() {
				t.Error("it is not ended")
			}
			if did, err := b.Repair(t.Context(), w.packets, txn.Verification{}); err != nil || did.Repaired == 0 {
				t.Errorf("another repair: %+v, %v", did, err)
			}
		})
	}
}

// A plan's transaction is not the repairer's to end: its report would be lost.
func TestRepairLeavesPlansAlone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	w.hook = dieAt(40, true)
	plan := newPlan([]james.Step{install(w.pack(t, "a v1", nil, file("bin/a", "a"), file("bin/b", "b")))})
	w.in.Apply(t.Context(), &plan, w.packets)
	w.hook = nil
	b := w.beside(nil)
	if !b.Unfinished() {
		t.Fatal("the plan has fewer operations")
	}
	if err := b.EndRepair(t.Context()); james.KindOf(err) != james.KindConflict {
		t.Errorf("%v", err)
	}
	if _, err := b.Repair(t.Context(), w.packets, txn.Verification{}); james.KindOf(err) != james.KindConflict {
		t.Errorf("%v", err)
	}
}
