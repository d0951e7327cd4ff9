package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/e2e/powercut/drive"
	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

// device is one device, over all its lives.
type device struct {
	*world
	id      string
	dir     string
	rnd     *rand.Rand
	images  []string
	drives  []*drive.Drive
	console *os.File

	// at is the state that the device is in, tree what lies there. While cuts are
	// not judged, it may be in the state next instead.
	at, next load.State
	tree     load.Tree
	pending  []*result
	usual    durations
}

// errLost ends a device that is neither as before nor as after.
var errLost = errors.New("lost")

func (w *world) newDevice(ctx context.Context, id string, n int, sizes []int) (*device, error) {
	d := &device{world: w, id: id, dir: filepath.Join(w.work, id), rnd: rand.New(rand.NewPCG(w.seed, uint64(n))), usual: newDurations()}
	if err := os.Mkdir(d.dir, 0o755); err != nil {
		return nil, err
	}
	var err error
	if d.console, err = os.Create(filepath.Join(d.dir, "console")); err != nil {
		return nil, err
	}
	for k, size := range sizes {
		image := filepath.Join(d.dir, fmt.Sprintf("disk%d", k))
		if err := os.WriteFile(image, nil, 0o644); err != nil {
			return nil, err
		}
		if err := os.Truncate(image, int64(size)<<20); err != nil {
			return nil, err
		}
		if _, err := output(ctx, "", w.tools["mkfs.ext4"], "-q", "-F", "-E", "root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0", image); err != nil {
			return nil, err
		}
		opened, err := drive.Open(image)
		if err != nil {
			return nil, err
		}
		d.images, d.drives = append(d.images, image), append(d.drives, opened)
	}
	return d, nil
}

func (d *device) close() {
	for _, opened := range d.drives {
		opened.Close()
	}
	d.console.Close()
}

// run cuts the device's power count times and reports every cut to r.
func (d *device) run(ctx context.Context, count int, r *results) error {
	if err := d.learn(ctx, r); err != nil {
		return err
	}
	for len(d.pending) > 0 || count > 0 {
		m, err := d.boot()
		if err != nil {
			return err
		}
		cut, err := d.live(ctx, m, r, count > 0)
		rest := m.turnOff()
		if err != nil || cut == nil {
			return err
		}
		cut.hear(rest)
		count--
		if err := d.loseCache(ctx, cut); err != nil {
			return err
		}
		d.pending = append(d.pending, cut)
	}
	return nil
}

// boot turns the machine on, and writes a mark into the log of its console.
func (d *device) boot() (*machine, error) {
	fmt.Fprintf(d.console, "\n==== %s, on\n", time.Now().Format(time.TimeOnly))
	sockets, err := os.MkdirTemp(d.sockets, "")
	if err != nil {
		return nil, err
	}
	return d.turnOn(hardware{
		kernel: d.kernel.image, initrd: d.initrd, drives: d.drives, sockets: sockets, server: d.server.addr, console: d.console,
		arguments: fmt.Sprintf("powercut.device=%s powercut.disks=%d powercut.writeback=%d", d.id, len(d.drives), []int{3000, 100, 10}[d.rnd.IntN(3)]),
	})
}

// learn takes a new device through all states undisturbed, which shows that the
// trees are expected rightly and how long everything takes.
func (d *device) learn(ctx context.Context, r *results) error {
	m, err := d.boot()
	if err != nil {
		return err
	}
	defer m.turnOff()
	if _, err := m.await(ctx, "@mounted"); err != nil {
		return err
	}
	if err := d.ask(ctx, m, "prepare", "@done prepare"); err != nil {
		return err
	}
	if _, err := d.recover(ctx, m); err != nil {
		return err
	}
	if d.tree, err = d.list(ctx, m); err != nil {
		return err
	}
	for n := range len(d.states) + 1 {
		r.say("%s: learning, %d of %d", d.id, n+1, len(d.states)+1)
		if err := d.walk(ctx, m, d.states[(n+1)%len(d.states)], n == 0); err != nil {
			return err
		}
	}
	return d.ask(ctx, m, "sync", "@done sync")
}

// walk takes the device to another state, undisturbed.
func (d *device) walk(ctx context.Context, m *machine, to load.State, first bool) error {
	if err := d.edit(ctx, m, to, first); err != nil {
		return err
	}
	if _, err := d.travel(ctx, m, to, first, nil); err != nil {
		return err
	}
	return d.arrived(ctx, m, to)
}

// arrived checks that an undisturbed transaction did what it should.
func (d *device) arrived(ctx context.Context, m *machine, to load.State) error {
	tree, err := d.list(ctx, m)
	if err != nil {
		return err
	}
	if diff := d.differsFromAfter(tree, to); diff != nil {
		return fmt.Errorf("from %s to %s, undisturbed: the tree is not as expected:\n%s", d.at, to, strings.Join(diff, "\n"))
	}
	d.at, d.tree = to, tree
	return nil
}

func (d *device) differsFromAfter(tree load.Tree, to load.State) []string {
	own := to.OwnDirs()
	return load.Diff(load.Expect(d.tree, d.at, to), tree, func(path string) bool { return !own[path] })
}

// differsFromBefore: the scripts work in srv, and what they do is not undone.
func (d *device) differsFromBefore(tree load.Tree) []string {
	return load.Diff(d.tree, tree, func(path string) bool { return path == "srv" })
}

// live is a life of the device: it recovers and is judged, and goes on until the
// next cut, which is returned. Without more to cut it ends when it is judged.
func (d *device) live(ctx context.Context, m *machine, r *results, more bool) (*result, error) {
	if _, err := m.await(ctx, "@mounted"); err != nil {
		return nil, err
	}
	if more && len(d.pending) > 0 && len(d.pending) < 3 && d.pending[0].phase.leavesWork() && d.rnd.IntN(3) == 0 {
		return d.cutRecovery(ctx, m)
	}
	how, err := d.recover(ctx, m)
	if err != nil {
		return nil, err
	}
	if err := d.judge(ctx, m, r, how); err != nil || !more {
		return nil, err
	}
	to := d.choose()
	if err := d.edit(ctx, m, to, false); err != nil {
		return nil, err
	}
	first := true
	if d.rnd.IntN(4) == 0 { // the cut comes when the traces of another transaction are fresh
		if _, err := d.travel(ctx, m, to, true, nil); err != nil {
			return nil, err
		}
		if err := d.arrived(ctx, m, to); err != nil {
			return nil, err
		}
		to, first = d.choose(), false
	}
	d.next = to
	return d.travel(ctx, m, to, first, d.chooseMoment())
}

// choose returns a state that the device is not in.
func (d *device) choose() load.State {
	for {
		to := d.states[d.rnd.IntN(len(d.states))]
		if to.String() != d.at.String() {
			return to
		}
	}
}

// edit is an administrator at work before the next transaction.
func (d *device) edit(ctx context.Context, m *machine, to load.State, first bool) error {
	if !first && d.rnd.IntN(3) > 0 {
		return nil // a rare guest
	}
	edits := []string{}
	if d.at.Has("base", "") {
		edits = append(edits, "edit")
	}
	if d.at.Has("base", "") && d.rnd.IntN(2) == 0 {
		edits = append(edits, "delete")
	}
	if !d.at.Has("base", "v2") && (first || d.rnd.IntN(2) == 0) {
		edits = append(edits, "late")
	}
	if len(edits) == 0 {
		return nil
	}
	if err := d.ask(ctx, m, "edit "+strings.Join(edits, " "), "@done edit"); err != nil {
		return err
	}
	tree, err := d.list(ctx, m)
	d.tree = tree
	return err
}

func (d *device) ask(ctx context.Context, m *machine, command, answer string) error {
	if err := m.tell(command); err != nil {
		return err
	}
	_, err := m.await(ctx, answer)
	return err
}

// recovery is what jamesc has said about one.
type recovery struct {
	result string   // of the transaction that was cut off, "" where there was none
	apps   []string // that jamesc believes to be installed, sorted
	// left is how much is in the parts of the state directory, by their names.
	left map[string]string
}

// leftover says what a transaction has left in the state directory that it should
// not, "" for nothing.
func (r *recovery) leftover() string {
	want := map[string]string{"manifests": fmt.Sprint(len(r.apps)), "run": "0", "journal": "0"}
	if maps.Equal(r.left, want) {
		return ""
	}
	return fmt.Sprintf("the state directory has %v, not %v", r.left, want)
}

var (
	recoveredResult = regexp.MustCompile(`recovered=true.* result=(\S+)|result=(\S+).* recovered=true`)
	stateLine       = regexp.MustCompile(`^@state (\S+) (\d+)$`)
	statusApp       = regexp.MustCompile(`^@status (\S+ v\d+)  \(`)
)

// recover has jamesc recover undisturbed.
func (d *device) recover(ctx context.Context, m *machine) (recovery, error) {
	r := recovery{left: map[string]string{}}
	if err := d.ask(ctx, m, "recover", "@recovering"); err != nil {
		return r, err
	}
	begun := time.Now()
	_, err := m.await(ctx, "@recovered", func(text string) {
		if found := recoveredResult.FindStringSubmatch(text); found != nil {
			r.result = found[1] + found[2]
			d.usual.saw(recovering, time.Since(begun))
		}
		if found := stateLine.FindStringSubmatch(text); found != nil {
			r.left[found[1]] = found[2]
		}
		if found := statusApp.FindStringSubmatch(text); found != nil {
			r.apps = append(r.apps, found[1])
		}
	})
	slices.Sort(r.apps)
	return r, err
}

// cutRecovery cuts the power while jamesc recovers, or at once when it has.
func (d *device) cutRecovery(ctx context.Context, m *machine) (*result, error) {
	if err := d.ask(ctx, m, "recover", "@recovering"); err != nil {
		return nil, err
	}
	p := &progress{phase: recovering, began: map[phase]time.Time{recovering: time.Now()}}
	part := 0.3 + 0.8*d.rnd.Float64() // a program has to be started first
	timer := time.After(time.Duration(part * float64(d.usual.of(recovering))))
	for {
		l, cut, err := m.nextOr(ctx, timer)
		if err != nil {
			return nil, err
		}
		if cut || l.text == "@recovered" {
			return newResult(d, d.next, p), nil
		}
	}
}

func (d *device) list(ctx context.Context, m *machine) (load.Tree, error) {
	if err := m.tell("list"); err != nil {
		return nil, err
	}
	packed, err := m.await(ctx, "@tree ")
	if err != nil {
		return nil, err
	}
	return decodeTree(packed)
}

// loseCache has the drives lose what a cut makes them lose, and looks at the file
// systems as they are then. What is on the disks is kept until it is judged.
func (d *device) loseCache(ctx context.Context, cut *result) error {
	keep := d.rnd.Float64()
	switch d.rnd.IntN(4) {
	case 0:
		keep = 0 // nothing that was not flushed
	case 1:
		keep = 1 // everything: the machine is gone, the drive is not
	}
	for n, image := range d.images {
		loss, err := d.drives[n].Cut(d.rnd, keep)
		if err != nil {
			return err
		}
		cut.kept, cut.lost = cut.kept+loss.Kept, cut.lost+loss.Lost
		replay, err := needsReplay(image)
		if err != nil {
			return err
		}
		cut.replayed = cut.replayed || replay
		copied := image + ".cut"
		if _, err := output(ctx, "", d.tools["cp"], "--sparse=always", "--reflink=auto", image, copied); err != nil {
			return err
		}
		if err := d.checkFileSystem(ctx, copied); err != nil {
			cut.damage = append(cut.damage, fmt.Sprintf("the file system of %s: %v", filepath.Base(image), err))
		}
	}
	return nil
}

// checkFileSystem replays the journal of a copy, as a mount does, and then looks
// at everything.
func (d *device) checkFileSystem(ctx context.Context, image string) error {
	check := image + ".fsck"
	defer os.Remove(check)
	if _, err := output(ctx, "", d.tools["cp"], "--sparse=always", "--reflink=auto", image, check); err != nil {
		return err
	}
	_, _ = output(ctx, "", d.tools["e2fsck"], "-p", check) // its exit code says what it has mended
	_, err := output(ctx, "", d.tools["e2fsck"], "-fn", check)
	return err
}

// needsReplay reads from the superblock whether the journal has something that
// the file system has not.
func needsReplay(image string) (bool, error) {
	file, err := os.Open(image)
	if err != nil {
		return false, err
	}
	defer file.Close()
	const features, recover = 1024 + 0x60, 0x4
	var b [1]byte
	_, err = file.ReadAt(b[:], features)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b[0]&recover != 0, err
}
