package txn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/pkg/james"
)

// deviceDir is what a device's root and state directory are in.
func deviceDir(w *world) string { return filepath.Dir(w.root) }

func (o *ordeal) specFile() string { return filepath.Join(o.dir, "spec.json") }

// want is how a device must end.
type want int

const (
	either want = iota
	asBefore
	asAfter
)

func (want want) check(got james.Result) error {
	if want == asBefore && got != james.RolledBack || want == asAfter && got != james.Committed {
		return fmt.Errorf("it ended as %s, which cannot be yet, or any more", got)
	}
	return nil
}

// afterKill says how a device must end that was killed at p, and afterCut one
// whose power failed there.
func (o *ordeal) afterKill(p disktest.Point) want {
	if p.N < o.commit || p.N == o.commit && !p.After {
		return asBefore
	}
	return asAfter
}

func (o *ordeal) afterCut(p disktest.Point) want {
	if want := o.afterKill(p); want == asBefore || p.N > o.final || p.N == o.final && p.After {
		return want
	}
	return either
}

// findCommit finds the operation that decides.
func (o *ordeal) findCommit() error {
	b := o.bed(0)
	w := b.world
	ended := func(n int) (james.Result, error) {
		if err := o.put(w, b.history.Kill(disktest.Point{N: n, After: true})); err != nil {
			return "", err
		}
		return o.revive(w)
	}
	low, high := 0, len(o.history.Ops) // it is not low, and not after high
	for high-low > 1 {
		got, err := ended((low + high) / 2)
		if err != nil {
			return fmt.Errorf("killed after operation %d: %w", (low+high)/2, err)
		}
		if got == james.Committed {
			high = (low + high) / 2
		} else {
			low = (low + high) / 2
		}
	}
	o.commit, o.final = high, len(o.history.Ops)
	for n := high; n < len(o.history.Ops); n++ {
		if op := o.history.Ops[n]; op.Name == "fsync" && op.Path == o.history.Ops[high-1].Path {
			o.final, o.done = n+1, o.lastRecord()
			return nil
		}
	}
	return fmt.Errorf("operation %d decides, %+v, and is never synced", high, o.history.Ops[high-1])
}

// lastRecord returns the operation that makes the last record of the journal
// durable. Of a plan with a probation that is not the one that decides.
func (o *ordeal) lastRecord() int {
	for n, op := range slices.Backward(o.history.Ops) {
		if op.Name == "append" {
			for m := n; ; m++ {
				if now := o.history.Ops[m]; now.Name == "fsync" && now.Path == op.Path {
					return m + 1
				}
			}
		}
	}
	panic("nothing was appended to the journal")
}

// workers is how many devices are tried at a time.
var workers = max(runtime.GOMAXPROCS(0), 2)

// each calls work for the numbers from 0 to n-1, on several devices at a time.
// Numbers that are near go to one device, as they lead to the same states.
func (o *ordeal) each(n int, work func(b *bed, k int)) {
	var next atomic.Int64
	var group sync.WaitGroup
	share := max(1, n/(4*workers))
	for k := range workers {
		b := o.bed(k)
		group.Go(func() {
			for {
				to := int(next.Add(int64(share)))
				if to-share >= n {
					return
				}
				for at := to - share; at < min(to, n) && !o.tally.full(); at++ {
					work(b, at)
				}
			}
		})
	}
	group.Wait()
}

// points are the moments to try: before and after every stride-th operation.
func (o *ordeal) points(stride int) []disktest.Point {
	var all []disktest.Point
	for n := 1 + int(o.seed)%stride; n <= len(o.history.Ops); n += stride {
		all = append(all, disktest.Point{N: n}, disktest.Point{N: n, After: true})
	}
	if stride > 1 { // where it is decided is always worth a try
		all = append(all, disktest.Point{N: o.commit, After: true}, disktest.Point{N: o.final})
	}
	return all
}

// kills ends a process with SIGKILL at every point and has a fresh one recover.
func (o *ordeal) kills(points []disktest.Point) {
	if err := o.spec.write(o.specFile()); err != nil {
		panic(err)
	}
	o.each(len(points), func(b *bed, k int) {
		p := points[k]
		got, err := o.kill(b, p)
		o.tally.count(&o.tally.Kills, "killed "+p.String(), p.N, got, err)
	})
}

func (o *ordeal) kill(b *bed, p disktest.Point) (james.Result, error) {
	w := b.world
	if err := o.put(w, o.before); err != nil {
		return "", err
	}
	if err := o.killed(w, p); err != nil {
		return "", err
	}
	left, err := o.read(w)
	if err != nil {
		return "", err
	}
	if model := b.history.Kill(p); left.Digest(processStart) != model.Digest(processStart) {
		return "", fmt.Errorf("the model is wrong about what is left:\n%s",
			disktest.Diff(left.Describe(0, disktest.AllTimes), model.Describe(0, disktest.AllTimes)))
	}
	r, err := o.recovered(w)
	if err != nil {
		return "", err
	}
	got, err := o.settled(w, r)
	if err == nil && got == james.RolledBack {
		err = o.mirrored(p, w.log())
	}
	return got, errors.Join(err, o.afterKill(p).check(got))
}

// attempts notes which states were tried: what recovery makes of a state depends on
// nothing else, so each is tried once.
type attempts struct {
	mu     sync.Mutex
	states map[[32]byte]bool
	checks []attempt
	ended  map[[32]byte]ending
}

// ending is how the device ended that was brought into a state, and which scripts
// were called on the way.
type ending struct {
	result james.Result
	calls  []string
}

// attempt is what must become of a state that was reached in some way.
type attempt struct {
	state [32]byte
	want  want
	n     int
	what  func() string
	// from is the point of the plan that the state follows; nil where a recovery
	// came between, which has called some of the scripts.
	from *disktest.Point
}

func newAttempts() *attempts {
	return &attempts{states: map[[32]byte]bool{}, ended: map[[32]byte]ending{}}
}

// first notes a attempt and reports whether its state is a new one.
func (c *attempts) first(k attempt) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.checks = append(c.checks, k)
	known := c.states[k.state]
	c.states[k.state] = true
	return !known
}

func (c *attempts) end(state [32]byte, got ending) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ended[state] = got
}

// try brings the device into a state, unless that was tried already, and starts
// it.
func (o *ordeal) try(w *world, c *attempts, image *disktest.Image, k attempt, states *int) {
	k.state = image.Digest(processStart)
	if !c.first(k) {
		return
	}
	got, err := james.Result(""), o.put(w, image)
	if err == nil {
		got, err = o.revive(w)
	}
	c.end(k.state, ending{got, w.log()})
	o.tally.count(states, k.what(), k.n, got, err)
}

// settle holds all attempts against how their states have ended.
func (o *ordeal) settle(c *attempts, reached *int) {
	for _, k := range c.checks {
		got := c.ended[k.state]
		if got.result == "" {
			continue
		}
		err := k.want.check(got.result)
		if err == nil && k.from != nil && got.result == james.RolledBack {
			err = o.mirrored(*k.from, got.calls)
		}
		if err != nil {
			o.tally.lose(k.what(), k.n, err)
		}
	}
	*reached += len(c.checks)
}

// killsInRecovery kills the recovery that follows a kill at each of the points,
// after every of its operations, and recovers again.
func (o *ordeal) killsInRecovery(points []disktest.Point, stride int) {
	c, began := newAttempts(), newAttempts()
	o.each(len(points), func(b *bed, k int) {
		p := points[k]
		image := b.history.Kill(p)
		if !began.first(attempt{state: image.Digest(processStart)}) {
			return
		}
		h, err := o.record(b.world, image)
		if err != nil {
			o.tally.lose("killed "+p.String(), p.N, err)
			return
		}
		for m := 1 + k%stride; m <= len(h.Ops); m += stride {
			q := disktest.Point{N: m, After: true}
			what := func() string { return fmt.Sprintf("killed %s, and %s of the recovery", p, q) }
			o.try(b.world, c, h.Kill(q), attempt{want: o.afterKill(p), n: p.N, what: what}, &o.tally.RecoveryStates)
		}
	})
	o.settle(c, &o.tally.RecoveryKills)
}

// record follows the recovery from a state.
func (o *ordeal) record(w *world, image *disktest.Image) (*disktest.History, error) {
	if err := o.put(w, image); err != nil {
		return nil, err
	}
	recorder, err := disktest.Record(o.dirs(w)...)
	if err != nil {
		return nil, err
	}
	w.hook = recorder.Hook
	_, err = w.start()
	w.close()
	w.hook = nil
	if err != nil {
		return nil, err
	}
	return recorder.History()
}

// cuts has the power fail at each of the points, with what is not synced lost in
// many ways, and now and then again in the recovery.
func (o *ordeal) cuts(points []disktest.Point, budget disktest.Budget, again int) {
	c := newAttempts()
	budget.Seed = o.seed
	o.each(len(points), func(b *bed, k int) {
		p := points[k]
		random := rand.New(rand.NewPCG(o.seed, uint64(p.N))) // the same where this operation alone is tried
		left, seen := again, 0
		for loss := range b.history.Losses(p, budget) {
			what := func() string { return fmt.Sprintf("power cut %s, %s", p, loss.What) }
			o.try(b.world, c, loss.Image, attempt{want: o.afterCut(p), n: p.N, what: what, from: &p}, &o.tally.CutStates)
			if seen++; left > 0 && random.IntN(16) == 0 {
				left--
				o.cutAgain(b.world, c, random, loss.Image, attempt{want: o.afterCut(p), n: p.N, what: what})
			}
		}
	})
	o.settle(c, &o.tally.Cuts)
}

// cutsInRecovery has the power fail in the longest recovery, which undoes a plan
// that was done but for its commit, and in one from the middle.
func (o *ordeal) cutsInRecovery(stride int, budget disktest.Budget) {
	c := newAttempts()
	budget.Seed = o.seed
	for _, n := range []int{o.commit, o.commit * 7 / 8} {
		began := disktest.Point{N: n}
		histories := map[*bed]*disktest.History{}
		for k := range workers {
			h, err := o.record(o.bed(k).world, o.bed(k).history.Kill(began))
			if err != nil {
				o.tally.lose("killed "+began.String(), n, err)
				return
			}
			histories[o.bed(k)] = h
		}
		o.each(len(histories[o.bed(0)].Ops)/stride, func(b *bed, k int) {
			q := disktest.Point{N: 1 + k*stride, After: true}
			for loss := range histories[b].Losses(q, budget) {
				what := func() string {
					return fmt.Sprintf("killed %s, power cut %s of the recovery, %s", began, q, loss.What)
				}
				o.try(b.world, c, loss.Image, attempt{want: asBefore, n: n, what: what}, &o.tally.CutStates)
			}
		})
	}
	o.settle(c, &o.tally.Cuts)
}

// cutAgain has the power fail in the recovery from a state, at a random moment.
func (o *ordeal) cutAgain(w *world, c *attempts, random *rand.Rand, image *disktest.Image, k attempt) {
	h, err := o.record(w, image)
	if err != nil {
		o.tally.lose(k.what(), k.n, err)
		return
	}
	first := k.what()
	for range 2 {
		q := disktest.Point{N: 1 + random.IntN(len(h.Ops)), After: true}
		losses := slices.Collect(h.Losses(q, disktest.Budget{Seed: o.seed, Singles: 4, Random: 2}))
		random.Shuffle(len(losses), func(a, b int) { losses[a], losses[b] = losses[b], losses[a] })
		for _, loss := range losses[:min(len(losses), 2)] {
			what := func() string { return fmt.Sprintf("%s; again %s of the recovery, %s", first, q, loss.What) }
			o.try(w, c, loss.Image, attempt{want: k.want, n: k.n, what: what}, &o.tally.CutStates)
		}
	}
}

// errnos are what a full, a broken and a read-only disk say, and a process with
// too many open files.
var errnos = []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS, syscall.EMFILE}

// errors fails every operation, once and from then on.
func (o *ordeal) errors(points []disktest.Point) {
	type trial struct {
		n      int
		errno  syscall.Errno
		sticky bool
	}
	var trials []trial
	for _, p := range points {
		if p.After {
			continue
		}
		for _, errno := range errnos {
			trials = append(trials, trial{p.N, errno, false}, trial{p.N, errno, true})
		}
	}
	o.each(len(trials), func(b *bed, k int) {
		t := trials[k]
		got, err := o.fail(b.world, t.n, t.errno, t.sticky)
		what := fmt.Sprintf("%v at operation %d", t.errno, t.n)
		if t.sticky {
			what += " and from then on"
		}
		o.tally.count(&o.tally.Errors, what, t.n, got, err)
	})
}

// tells reports whether the report says what failed; where room was to be
// reserved it says how much is missing instead of the system's words.
func tells(r *james.Report, errno syscall.Errno) bool {
	return strings.Contains(r.Error, errno.Error()) || errno == syscall.ENOSPC && strings.Contains(r.Error, "not enough space: ")
}

// fail carries the plan out with a disk that fails at operation n.
func (o *ordeal) fail(w *world, n int, errno syscall.Errno, sticky bool) (james.Result, error) {
	r, err := o.disturbed(w, o.fault(n, errno, sticky))
	if err != nil {
		return "", err
	}
	if r.Result == james.Broken && (!sticky || errno == syscall.ENOSPC) {
		return "", fmt.Errorf("the device was left between: %+v", r)
	}
	if r.Result != james.Committed && !tells(r, errno) {
		return "", fmt.Errorf("the report does not tell of the error: %+v", r)
	}
	got, err := o.revive(w)
	if err != nil {
		return got, err
	}
	if r.Result != james.Broken {
		if err := agrees(r, got); err != nil {
			return got, err
		}
	}
	want := either
	switch {
	case o.aside(n):
	case n < o.commit:
		want = asBefore
	case n > o.done:
		want = asAfter
	}
	return got, want.check(got)
}

// aside reports whether operation n notes in the journal that a script runs or has
// run, which may fail: it helps after a crash alone. No other record is as short.
func (o *ordeal) aside(n int) bool {
	op := o.history.Ops[n-1]
	return op.Name == "append" && op.Size <= int64(len(`LLLLCCCC{"run":99}`))
}

// disturbed carries the plan out from the beginning with a hook.
func (o *ordeal) disturbed(w *world, hook disk.Hook) (*james.Report, error) {
	if err := o.put(w, o.before); err != nil {
		return nil, err
	}
	return o.run(w, hook)
}

func (o *ordeal) run(w *world, hook disk.Hook) (*james.Report, error) {
	defer w.close()
	w.hook = nil
	if r, err := w.start(); r != nil || err != nil {
		return nil, fmt.Errorf("start: %+v, %w", r, err)
	}
	w.hook = hook
	r, err := o.apply(w)
	w.hook = nil
	return r, err
}

// fault returns a hook that fails operation n, or all from then on. A full disk
// fails only what takes room that was not reserved.
func (o *ordeal) fault(n int, errno syscall.Errno, sticky bool) disk.Hook {
	var c counter
	reserved := map[string]int64{}
	return func(before bool, op disk.Op) error {
		if !before {
			return nil
		}
		at := c.next()
		if at == n {
			return errno
		}
		if at < n || !sticky {
			if op.Name == "reserve" {
				reserved[op.Path] = op.Size
			}
			if op.Name == "append" {
				reserved[op.Path] -= op.Size
			}
			return nil
		}
		if errno == syscall.ENOSPC {
			if !takesRoom[op.Name] || hasRoom(op) {
				return nil
			}
			if op.Name == "append" && reserved[op.Path] >= op.Size {
				reserved[op.Path] -= op.Size
				return nil
			}
		}
		return errno
	}
}

// hasRoom reports whether an operation finds its room taken already: a file that is
// opened, or an attribute that is as long as the one that it replaces.
func hasRoom(op disk.Op) bool {
	switch op.Name {
	case "create":
		_, err := os.Lstat(op.Path)
		return err == nil
	case "setxattr":
		n, err := unix.Lgetxattr(op.Path, op.To, nil)
		return err == nil && int64(n) >= op.Size
	}
	return false
}

// scripts has each call of a script fail, hang and be killed, and at last all
// mirrors fail too.
func (o *ordeal) scripts(stride int) {
	type trial struct {
		call, how string
	}
	var trials []trial
	for k := int(o.seed) % stride; k < len(o.calls); k += stride {
		for _, how := range []string{"exit 3", "sleep 100", "kill -9 $$", "exit 3; all mirrors too"} {
			trials = append(trials, trial{o.calls[k], how})
		}
	}
	o.each(len(trials), func(b *bed, k int) {
		t := trials[k]
		got, err := o.failScript(b.world, t.call, t.how)
		o.tally.count(&o.tally.Scripts, fmt.Sprintf("script %q does %q", t.call, t.how), 0, got, err)
	})
}

// failScript carries the plan out with a script that does not end well.
func (o *ordeal) failScript(w *world, call, how string) (james.Result, error) {
	if err := o.put(w, o.before); err != nil {
		return "", err
	}
	do, mirrors, _ := strings.Cut(how, "; all mirrors")
	trouble := fmt.Sprintf("case \"$CALL\" in\n\"%s\") %s;;\n", call, do)
	if mirrors != "" {
		trouble += "*restore*) exit 4;;\n"
	}
	if err := os.WriteFile(w.troubleFile(), []byte(trouble+"esac\n"), 0o644); err != nil {
		return "", err
	}
	hangs := strings.HasPrefix(how, "sleep")
	if hangs {
		w.runner.Timeout = 500 * time.Millisecond
		defer func() { w.runner.Timeout = time.Minute }()
	}
	r, err := o.run(w, nil)
	if err != nil {
		return "", err
	}
	packet, rest, _ := strings.Cut(call, "-")
	if r.Result != james.RolledBack || !hangs && (r.App != packet || !strings.Contains(rest, " "+string(r.Script)+" ")) {
		return "", fmt.Errorf("the report is %+v", r)
	}
	got, err := o.revive(w)
	return got, errors.Join(err, asBefore.check(got))
}
