package txn_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/pkg/james"
)

// What `make crash` sets.
const (
	crashEnv  = "JAMES_CRASH"       // "all", a plan, or a plan/operation; a sample of all where it is not set
	seedEnv   = "JAMES_CRASH_SEED"  // of what is random; 1 where it is not set
	tallyFile = "JAMES_CRASH_TALLY" // where a process writes its tally for the one that began it
)

// effort says how much is tried: every how many operations, and of how many states
// at each.
type effort struct {
	kills, recovery, within, cuts, errors, scripts int
	budget                                         disktest.Budget
	again                                          int // power cuts in the recovery, for each operation
}

var (
	everything = effort{1, 1, 1, 1, 1, 1, disktest.Budget{Singles: 6, Random: 2}, 1}
	sample     = effort{61, 31, 13, 37, 41, 7, disktest.Budget{Singles: 2, Random: 1}, 1}
)

// TestCrash tries every plan with the process killed, the disk failing, the
// scripts failing and the power cut, at a sample of the operations or, in `make
// crash`, at all.
func TestCrash(t *testing.T) {
	chosen, at, _ := strings.Cut(os.Getenv(crashEnv), "/")
	if chosen == "" {
		t.Parallel()
	}
	sheet := &sheet{}
	for _, s := range scenarios {
		if chosen == "" || chosen == "all" || chosen == s.name {
			t.Run(s.name, func(t *testing.T) {
				sheet.add(endure(t, s, at))
			})
		}
	}
	if len(sheet.all) == 0 {
		t.Fatalf("no plan %q was tried", chosen)
	}
	if file := os.Getenv(tallyFile); file != "" {
		if err := os.WriteFile(file, must(json.Marshal(sheet.all[0])), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	sheet.end(t)
}

// endure tries one plan, and fails the test where one trial is lost.
func endure(t *testing.T, s scenario, at string) *tally {
	t.Helper()
	began := time.Now()
	var result *tally
	if s.uid != 0 && os.Geteuid() == 0 {
		result = elsewhere(t, s)
	} else {
		result = newOrdeal(t, s, seed()).endure(t, at)
	}
	result.Seconds = time.Since(began).Seconds()
	progress("")
	for _, lost := range result.Lost {
		if os.Getenv(crashEnv) == "" {
			t.Error(lost)
		}
		t.Fail() // the table tells
	}
	return result
}

func seed() uint64 {
	if n, err := strconv.ParseUint(os.Getenv(seedEnv), 10, 32); err == nil {
		return n
	}
	return 1
}

// endure tries the plan in every way.
func (o *ordeal) endure(t *testing.T, at string) *tally {
	t.Helper()
	e := sample
	if os.Getenv(crashEnv) != "" {
		e = everything
	}
	if err := o.findCommit(); err != nil {
		t.Fatal(err)
	}
	o.tally.Ops, o.tally.seed = len(o.history.Ops), o.seed
	points := o.points
	if at != "" {
		n, err := strconv.Atoi(at)
		if err != nil || n < 1 || n > o.tally.Ops {
			t.Fatalf("%q is no operation from 1 to %d", at, o.tally.Ops)
		}
		points = func(int) []disktest.Point { return []disktest.Point{{N: n}, {N: n, After: true}} }
		t.Logf("operation %d is %+v; %d decides, %d makes it durable", n, o.history.Ops[n-1], o.commit, o.final)
	}
	o.kills(points(e.kills))
	o.killsInRecovery(points(e.recovery), e.within)
	o.errors(points(e.errors))
	o.scripts(e.scripts)
	o.cuts(points(e.cuts), e.budget, e.again)
	if at != "" {
		o.cuts(points(1), disktest.Budget{Random: 100}, 32)
		if n, _ := strconv.Atoi(at); n == o.commit || n == o.commit*7/8 {
			o.cutsInRecovery(1, e.budget)
		}
		return o.tally
	}
	o.cutsInRecovery(e.within, e.budget)
	o.plausible(t, e)
	return o.tally
}

// plausible fails where less was tried than there must be: a trial that tries
// nothing would never find anything.
func (o *ordeal) plausible(t *testing.T, e effort) {
	t.Helper()
	c := o.tally
	if len(c.Lost) > 0 {
		return
	}
	each := len(o.points(1)) / 2
	for _, least := range []struct {
		what      string
		got, want int
	}{
		{"operations", c.Ops, 40},
		{"kills", c.Kills, 2 * (each / e.kills)},
		{"kills in recovery", c.RecoveryKills, 10 * each / e.recovery / e.within},
		{"states in recovery", c.RecoveryStates, each / e.recovery / e.within},
		{"errors", c.Errors, 8 * (each / e.errors)},
		{"scripts", c.Scripts, 4 * (len(o.calls) / e.scripts)},
		{"power cuts", c.Cuts, 10 * each / e.cuts},
		{"states of power cuts", c.CutStates, 2 * each / e.cuts},
		{"trials that ended as before", c.Before, each / e.kills},
		{"trials that ended as after", c.After, 2},
	} {
		if least.got < least.want {
			t.Errorf("%d %s only, expected %d at least", least.got, least.what, least.want)
		}
	}
}

// elsewhere has another process, of another user, try the plan.
func elsewhere(t *testing.T, s scenario) *tally {
	t.Helper()
	file := scratch(t) + "/tally"
	if err := os.WriteFile(file, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(os.Chmod(file, 0o666))
	check(os.Chmod(strings.TrimSuffix(file, "/tally"), 0o711))
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestCrash$/^"+strings.ReplaceAll(s.name, " ", "_")+"$")
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), tallyFile+"="+file, "TMPDIR=/dev/shm")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: s.uid, Gid: s.uid}}
	if isTerminal() {
		cmd.Stdout = os.Stdout
	}
	out := &strings.Builder{}
	if cmd.Stdout == nil {
		cmd.Stdout = out
	}
	cmd.Stderr = cmd.Stdout
	err := cmd.Run()
	result := &tally{}
	if jsonErr := json.Unmarshal(must(os.ReadFile(file)), result); jsonErr != nil || err != nil && len(result.Lost) == 0 {
		t.Fatalf("as user %d: %v, %v\n%s", s.uid, err, jsonErr, out)
	}
	return result
}

// tally is what was tried of a plan and how it ended.
type tally struct {
	Name                                             string
	Ops, Kills, RecoveryKills, Errors, Scripts, Cuts int
	RecoveryStates, CutStates                        int // that were different, and tried
	Before, After                                    int
	Seconds                                          float64
	Lost                                             []string

	mu   sync.Mutex
	seed uint64
}

// tooMany is how many trials of a plan are lost before it is given up.
const tooMany = 5

// count notes how one trial ended.
func (c *tally) count(kind *int, what string, n int, got james.Result, err error) {
	if err != nil {
		c.lose(what, n, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	*kind++
	switch got {
	case james.RolledBack:
		c.Before++
	case james.Committed:
		c.After++
	}
	if sum := c.Before + c.After; sum%32 == 0 {
		progress(fmt.Sprintf("%s: %d operations, %d devices tried, %d lost", c.Name, c.Ops, sum, len(c.Lost)))
	}
}

// lose notes a trial that ended badly, and how to repeat it.
func (c *tally) lose(what string, n int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.Lost) >= tooMany {
		return
	}
	again := fmt.Sprintf("make crash CRASH='%s' SEED=%d", c.Name, c.seed)
	if n > 0 {
		again = fmt.Sprintf("make crash CRASH='%s/%d' SEED=%d", c.Name, n, c.seed)
	}
	c.Lost = append(c.Lost, fmt.Sprintf("lost: %s, %s (again: %s)\n%v", c.Name, what, again, err))
}

func (c *tally) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.Lost) >= tooMany
}

// progress writes a line over the last one, on a terminal.
func progress(line string) {
	if os.Getenv(crashEnv) != "" && isTerminal() {
		fmt.Printf("\r\033[K%s", line)
	}
}

func isTerminal() bool {
	_, err := unix.IoctlGetTermios(int(os.Stdout.Fd()), unix.TCGETS)
	return err == nil
}

// sheet tells people what was tried: `make crash` while it goes on, and the tests in
// the end.
type sheet struct {
	all  []*tally
	text strings.Builder
}

const row = "%-22s %6v %7v %9v %8v %7v %8v %8v %8v %8v %7v %5v\n"

func (t *sheet) printf(format string, args ...any) {
	line := fmt.Sprintf(format, args...)
	t.text.WriteString(line)
	if os.Getenv(crashEnv) != "" && os.Getenv(tallyFile) == "" {
		fmt.Print(line)
	}
}

func (t *sheet) row(c *tally) {
	t.printf(row, c.Name, c.Ops, c.Kills, c.RecoveryKills, c.RecoveryStates, c.Errors, c.Scripts, c.Cuts, c.CutStates, c.Before, c.After, len(c.Lost))
}

func (t *sheet) add(c *tally) {
	if len(t.all) == 0 {
		t.printf(row, "plan", "ops", "kills", "in recov.", "states", "errors", "scripts", "power", "states", "before", "after", "lost")
	}
	t.all = append(t.all, c)
	t.row(c)
}

// end adds the sum, and what was lost.
func (t *sheet) end(tt *testing.T) {
	tt.Helper()
	sum := &tally{Name: "all"}
	for _, c := range t.all {
		sum.add(c)
	}
	t.row(sum)
	lost := "none lost"
	if n := len(sum.Lost); n > 0 {
		lost = fmt.Sprintf("%d lost\n\n%s", n, strings.Join(sum.Lost, "\n"))
	}
	t.printf("%d devices in %.0f s: %s\n", sum.Before+sum.After, sum.Seconds, lost)
	if os.Getenv(crashEnv) == "" {
		tt.Log("\n" + t.text.String())
	}
}

func (c *tally) add(o *tally) {
	for _, pair := range [][2]*int{
		{&c.Ops, &o.Ops}, {&c.Kills, &o.Kills}, {&c.RecoveryKills, &o.RecoveryKills}, {&c.RecoveryStates, &o.RecoveryStates},
		{&c.Errors, &o.Errors}, {&c.Scripts, &o.Scripts}, {&c.Cuts, &o.Cuts}, {&c.CutStates, &o.CutStates}, {&c.Before, &o.Before}, {&c.After, &o.After},
	} {
		*pair[0] += *pair[1]
	}
	c.Seconds += o.Seconds
	c.Lost = append(c.Lost, o.Lost...)
}
