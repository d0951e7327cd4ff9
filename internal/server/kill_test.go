package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
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
		// Sizes are in bytes. FerretDB reads all that was ever uploaded for many a query.
		large int
	}{
		{"embedded", func(t *testing.T) string { return t.TempDir() }, 400 * time.Millisecond, 1_200_000},
		{"mongodb", func(t *testing.T) string { return mongodtest.URI(t) }, 1500 * time.Millisecond, 300_000},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			k := &killing{t: t, db: row.db(t), seed: uint64(seed), life: row.life, large: row.large, cache: t.TempDir()}
			for n := range kills {
				k.round(n)
			}
			t.Logf("%d kills with seed %d: %d changes acknowledged, %d of them of packets; %d cut off, of which %d had been made",
				kills, seed, k.acknowledged.Load(), k.packets.Load(), k.cut, k.made)
		})
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
	// change makes it n, read returns what it is.
	change func(ctx context.Context, n int) error
	read   func(ctx context.Context) (int, error)

	sure  int   // what was acknowledged, or read
	maybe []int // what was not acknowledged since
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

// introduce has each device poll once, before which jamesd takes no report of it.
func (k *killing) introduce(w *killWorld) {
	for i, d := range w.devices {
		_, err := d.Poll(k.t.Context(), james.PollRequest{Report: &james.DeviceReport{SystemTags: tagged(1)}})
		must(k.t, err)
		k.cells[names+3*i+1].sure = 1
	}
}

func (k *killing) kill(p *process) {
	must(k.t, p.cmd.Process.Kill())
	<-p.ended
}

// work changes a cell until jamesd is gone.
func (k *killing) work(ctx context.Context, c *cell, random *rand.Rand) {
	for {
		n := 1 + random.IntN(versions)
		if n == c.sure {
			continue
		}
		err := c.change(ctx, n)
		switch kind := james.KindOf(err); {
		case err == nil:
			c.sure, c.maybe = n, nil
			k.acknowledged.Add(1)
			if c.packet {
				k.packets.Add(1)
			}
			continue
		case kind != james.KindUnavailable && kind != james.KindInterrupted:
			k.t.Errorf("%s to %d: %v", c.name, n, err)
		}
		c.maybe = append(c.maybe, n)
		return
	}
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
