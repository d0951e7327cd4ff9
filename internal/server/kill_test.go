package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// envKills is how often jamesd is killed on each store.
const envKills = "JAMES_TEST_KILLS"

// envSeed chooses the moments, and what is asked of jamesd.
const envSeed = "JAMES_TEST_KILL_SEED"

// TestKill kills jamesd at any moment under uploads, deletions, desired states, polls
// and reports, again and again. What was acknowledged is there afterwards; what was not
// is there as a whole or not at all; and nothing that is there is damaged.
func TestKill(t *testing.T) {
	t.Parallel()
	kills, seed := setting(t, envKills, 4), setting(t, envSeed, 0)
	if seed == 0 {
		seed = rand.IntN(1 << 30)
	}
	victimCertificates(t)
	for _, row := range []struct {
		name string
		db   func(t *testing.T) string
		life time.Duration // at most; long enough for some uploads
		// FerretDB reads all that was ever uploaded for many a query. So there packets are
		// smaller, in bytes, and after some kills a new database takes the place of the one.
		large, each int
	}{
		{"embedded", func(t *testing.T) string { return t.TempDir() }, 400 * time.Millisecond, 1_200_000, kills},
		{"mongodb", func(t *testing.T) string { return mongodtest.URI(t) }, 2500 * time.Millisecond, 300_000, 20},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			inParts(t, kills, row.each, func(t *testing.T, part, kills int) {
				k := &killing{t: t, db: row.db(t), seed: uint64(seed + part), life: row.life, large: row.large, cache: t.TempDir()}
				for n := range kills {
					k.round(n)
				}
				k.end()
				t.Logf("%d kills with seed %d: %d changes acknowledged, %d of them of packets; %d cut off, of which %d had been made",
					kills, seed+part, k.acknowledged.Load(), k.packets.Load(), k.cut, k.made)
			})
		})
	}
}

// inParts has so many kills happen, of which each part has at most as many as it is told.
func inParts(t *testing.T, kills, each int, part func(t *testing.T, part, kills int)) {
	for n := 0; n < kills; n += each {
		t.Run(fmt.Sprint("from ", n), func(t *testing.T) { part(t, n, min(each, kills-n)) })
	}
}

// victimCertificates makes those of the devices, once.
func victimCertificates(t *testing.T) {
	t.Helper()
	victimsOnce.Do(func() {
		for i := range victims {
			check(pki.AddClient(certs, fmt.Sprint("victim-", i)))
		}
	})
}

var victimsOnce sync.Once

func setting(t *testing.T, name string, standard int) int {
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	must(t, err)
	return n
}

// killing is a jamesd that is killed, and what it must know.
type killing struct {
	t            *testing.T
	db, cache    string
	seed         uint64
	cells        []*cell
	life         time.Duration
	large        int
	acknowledged atomic.Int64
	packets      atomic.Int64 // of what was acknowledged
	cut, made    int
}

// cell is one thing that changes, in one goroutine, from number to number.
type cell struct {
	name   string
	packet bool
	tells  bool // the server says whether it was something else before
	// change makes it n and says whether it was something else before, as far as is known;
	// read returns what it is. One that is tried again has the same turn.
	change func(ctx context.Context, n, turn int) (made bool, err error)
	read   func(ctx context.Context) (int, error)
	known
	acknowledged, turnedAway atomic.Int64 // tries; the latter were told when to come again, or nothing in time
}

// known is what is known of a cell.
type known struct {
	sure  int   // what was acknowledged, or read
	maybe []int // what was not acknowledged since
	turn  int   // the last one
	made  int   // changes of which that was acknowledged
	cut   int   // changes that were not acknowledged
}

const (
	victims  = 3 // devices
	names    = 4 // packets
	versions = 9 // of each packet
)

// round runs jamesd, looks whether all is as it must be, and kills it at work.
func (k *killing) round(n int) {
	random := rand.New(rand.NewPCG(k.seed, uint64(n)))
	if random.IntN(8) == 0 { // at any moment of its start
		p := run(k.t, nil, append(standard(k.db), "--cache-dir", k.cache)...)
		time.Sleep(time.Duration(random.IntN(200)) * time.Millisecond)
		k.kill(p)
	}
	p := run(k.t, nil, append(standard(k.db), "--cache-dir", k.cache)...)
	p.logged(k.t, "ready")
	w := &killWorld{admin: p.client(k.t, "root")}
	for i := range victims {
		w.devices = append(w.devices, p.client(k.t, fmt.Sprint("victim-", i)))
	}
	k.connect(w)
	if n == 0 {
		k.introduce(w)
	}
	k.look(n)
	k.check(n)
	ctx, cancel := context.WithTimeout(k.t.Context(), patience)
	defer cancel()
	var work sync.WaitGroup
	for i, c := range k.cells {
		work.Go(func() { k.work(ctx, c, rand.New(rand.NewPCG(k.seed+uint64(n), uint64(i)))) })
	}
	time.Sleep(time.Duration(random.Int64N(int64(k.life))))
	k.kill(p)
	work.Wait()
	if n%5 == 4 && !k.t.Failed() { // what it has left, before another jamesd looks at it
		k.check(n)
	}
}

// end looks once more, at a jamesd that nobody kills.
func (k *killing) end() {
	p := run(k.t, nil, append(standard(k.db), "--cache-dir", k.cache)...)
	p.logged(k.t, "ready")
	k.connect(&killWorld{admin: p.client(k.t, "root"), devices: make([]*client.Client, victims)})
	k.look(-1)
	k.once(p.client(k.t, "root"))
	p.stop(k.t)
}

// introduce has each device poll once, before which jamesd takes no report of it.
func (k *killing) introduce(w *killWorld) {
	for i, d := range w.devices {
		_, err := d.Poll(k.t.Context(), james.PollRequest{Report: &james.DeviceReport{SystemTags: tagged(1)}})
		must(k.t, err)
		c := k.cells[names+3*i+1]
		c.sure, c.made = 1, 1
	}
}

func (k *killing) kill(p *process) {
	must(k.t, p.cmd.Process.Kill())
	<-p.ended
}

// work changes a cell until jamesd is gone.
func (k *killing) work(ctx context.Context, c *cell, random *rand.Rand) {
	for k.try(ctx, c, c, c.next(random)) == nil {
	}
}

// next returns what a cell is to be: something else than it is, or, as those do who got
// no answer, the same as the last time.
func (c *cell) next(random *rand.Rand) int {
	if last := len(c.maybe) - 1; last >= 0 && random.IntN(2) == 0 {
		return c.maybe[last]
	}
	c.turn++
	n := 1 + random.IntN(versions-1)
	if n >= c.sure {
		n++
	}
	return n
}

// try makes a cell n, by way of one that talks to a server, and returns why that was not
// acknowledged.
func (k *killing) try(ctx context.Context, c, at *cell, n int) error {
	made, err := at.change(ctx, n, c.turn)
	switch kind := james.KindOf(err); {
	case err == nil:
		c.acknowledged.Add(1)
		c.sure, c.maybe = n, nil
		if made {
			c.made++
		}
		k.acknowledged.Add(1)
		if c.packet {
			k.packets.Add(1)
		}
		return nil
	case kind != james.KindUnavailable && kind != james.KindInterrupted:
		k.t.Errorf("%s to %d: %v", c.name, n, err)
	}
	if james.AfterOf(err) > 0 || strings.Contains(err.Error(), "did not answer in time") {
		c.turnedAway.Add(1)
	}
	c.maybe = append(c.maybe, n)
	c.cut++
	return err
}

// look compares what jamesd says with what it must.
func (k *killing) look(round int) {
	for _, c := range k.cells {
		got, err := c.read(k.t.Context())
		if err != nil {
			k.t.Fatalf("round %d: %s: %v", round, c.name, err)
		}
		known := got == c.sure
		for _, n := range c.maybe {
			k.cut++
			if n == got {
				known = true
				k.made++
			}
		}
		if !known {
			k.t.Fatalf("round %d: %s is %d, acknowledged was %d, and cut off %v", round, c.name, got, c.sure, c.maybe)
		}
		c.sure, c.maybe = got, nil
	}
}

// check has jamesd check everything. That a database is too busy to answer is no
// answer.
func (k *killing) check(round int) {
	code, out := command(k.t, "check", "--db", k.db)
	for tries := 0; code == 1 && tries < 5; tries++ {
		code, out = command(k.t, "check", "--db", k.db)
	}
	if code != 0 {
		k.t.Fatalf("round %d: jamesd check exited with %d:\n%s", round, code, out)
	}
}

// command runs a command of jamesd to its end.
func command(t testing.TB, args ...string) (code int, out string) {
	t.Helper()
	exe, err := os.Executable()
	must(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "JAMESD_IS_THIS_TEST=1")
	raw, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(raw)
}

// killWorld is who talks to a jamesd.
type killWorld struct {
	admin   *client.Client
	devices []*client.Client
}
