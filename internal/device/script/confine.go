package script

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// ID names a run of a script on this machine for as long as anything of it is
// alive, also when the agent is not. Its zero value lets Run make one up.
type ID struct {
	Owner string // who runs scripts, one at a time; letters, digits and "-"
	Run   string // different for every run of the owner; likewise
}

// String returns what processes and cgroups of the run are known by.
func (id ID) String() string { return id.Owner + "." + id.Run }

var made atomic.Int64

func (id ID) orMade() ID {
	if id != (ID{}) {
		return id
	}
	return ID{Owner: fmt.Sprintf("pid-%d", os.Getpid()), Run: fmt.Sprintf("%d-%d", time.Now().UnixNano(), made.Add(1))}
}

// killLimit is how long Run waits for processes that were killed. One that the
// kernel does not let go of, as its disk does not answer, takes longer.
const killLimit = 5 * time.Second

// slowest is how often is looked for processes that are to end.
const slowest = 100 * time.Millisecond

// confined is all that one run has started. The cgroup knows it; where there is
// none, or something was moved out of it, processes are found by the session of
// the script, by the variable that marks the run, and as children of those.
type confined struct {
	id    ID
	group *cgroup
	// leader is the process of the script itself, which has a session of its own,
	// and born when that was; 0 where they are not known.
	leader int
	born   uint64
	// begun is closed when the fields above are known.
	begun chan struct{}
	// told is when the run was told to end; zero where it was not.
	told time.Time
}

// variable is what marks the environment of everything that a run starts.
func (id ID) variable() string { return "JAMES_RUN=" + id.String() }

// members returns the processes of the run that are alive.
func (c *confined) members() []process {
	all := processes()
	in := map[int]bool{}
	for _, pid := range c.group.pids() {
		in[pid] = true
	}
	for _, p := range all {
		in[p.pid] = in[p.pid] || c.leader != 0 && (p.session == c.leader || p.group == c.leader) ||
			p.born >= c.born && p.marked(c.id.variable())
	}
	in[os.Getpid()], in[1] = false, false
	for grown := true; grown; { // children of children
		grown = false
		for _, p := range all {
			if !in[p.pid] && in[p.parent] {
				in[p.pid], grown = true, true
			}
		}
	}
	return slices.DeleteFunc(all, func(p process) bool { return !in[p.pid] || p.dead })
}

// tell tells all of the run to end, also what is stopped.
func (c *confined) tell() {
	c.told = time.Now()
	for _, p := range c.members() {
		p.signal(syscall.SIGTERM)
		p.signal(syscall.SIGCONT)
	}
}

// end ends a run whose script has ended: what was told to end before has the
// rest of its grace, and then all is killed. It returns what is alive still.
func (c *confined) end(grace time.Duration) []process {
	if !c.told.IsZero() {
		ctx, cancel := context.WithDeadline(context.Background(), c.told.Add(grace))
		defer cancel()
		c.await(ctx)
	}
	return c.kill()
}

// release removes the cgroup, unless something that is to go on runs in it.
func (c *confined) release() { c.group.remove() }

// alive reports whether anything of the run is.
func (c *confined) alive() bool { return len(c.members()) > 0 }

// await waits until nothing of the run is alive, or ctx is done.
func (c *confined) await(ctx context.Context) {
	for wait := time.Millisecond; c.alive() && ctx.Err() == nil; wait = min(2*wait, slowest) {
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// kill kills all of the run and returns what is alive all the same.
func (c *confined) kill() []process {
	deadline := time.Now().Add(killLimit)
	for wait := time.Millisecond; ; wait = min(2*wait, slowest) {
		c.group.kill()
		members := c.members()
		if len(members) == 0 || time.Now().After(deadline) {
			return members
		}
		for _, p := range members {
			p.signal(syscall.SIGKILL)
		}
		time.Sleep(wait)
	}
}

// End ends what is alive of a run that an agent which has died since had begun:
// like Run when the time is up, with a grace. It fails where something cannot be
// killed.
func (r *Runner) End(id ID) error {
	c := &confined{id: id}
	members := c.members()
	c.group = findCgroup(id, members)
	defer c.release()
	if !c.alive() {
		return nil
	}
	c.tell()
	if left := c.end(r.grace()); len(left) > 0 {
		return james.Errorf(james.KindUnavailable, "script of before", "%w", unkillable(left))
	}
	return nil
}

// unkillable says which processes do not end.
func unkillable(left []process) error {
	names := make([]string, 0, 5)
	for _, p := range left[:min(len(left), cap(names))] {
		names = append(names, p.String())
	}
	return fmt.Errorf("was killed and does not end: process %s", strings.Join(names, ", "))
}
