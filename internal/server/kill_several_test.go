package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
)

// several are jamesd on one database. Each has its own cells, which know
// where to ask; what they must say is in those of the killing.
type several struct {
	*killing
	cutOff  atomic.Int64
	mu      sync.Mutex
	servers []*process
	cells   [][]*cell
}

// TestKillOneOfThree kills one of three jamesd on one database after the other, while
// all that use it go on at another one. Nothing that any of them acknowledged is lost,
// and all of them say the same in the end.
func TestKillOneOfThree(t *testing.T) {
	t.Parallel()
	kills := setting(t, envKills, 3)
	seed := setting(t, envSeed, rand.IntN(1<<30))
	victimCertificates(t)
	inParts(t, kills, 10, func(t *testing.T, part, kills int) {
		k := newSeveral(t, mongodtest.URI(t), 3, uint64(seed+part), 300_000)
		stop := k.load()
		random := rand.New(rand.NewPCG(k.seed, 99))
		for n := range kills {
			time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
			k.kill(k.servers[n%3])
			time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
			k.start(n % 3)
		}
		stop()
		k.settle()
		k.check(kills)
		t.Logf("%d kills with seed %d: %d changes acknowledged, %d of them of packets; %d cut off", kills, k.seed, k.acknowledged.Load(), k.packets.Load(), k.cutOff.Load())
	})
}

// newSeveral starts n jamesd on a database. The packets that change have so many bytes and
// less.
func newSeveral(t *testing.T, db string, n int, seed uint64, large int) *several {
	k := &several{killing: &killing{t: t, db: db, seed: seed, large: large}}
	k.servers, k.cells = make([]*process, n), make([][]*cell, n)
	for i := range k.servers {
		k.start(i)
	}
	k.connect(k.worldOf(0))
	k.introduce(k.worldOf(0))
	return k
}

// load changes all cells until the returned function is called.
func (k *several) load() (stop func()) {
	ctx, cancel := context.WithCancel(k.t.Context())
	var work sync.WaitGroup
	for i := range k.killing.cells {
		work.Go(func() { k.work(ctx, i, rand.New(rand.NewPCG(k.seed, uint64(i)))) })
	}
	return func() {
		cancel()
		work.Wait()
	}
}

// settle sees to it that all servers say what was acknowledged, and that nothing was
// done twice.
func (k *several) settle() {
	for i := range k.servers {
		k.agrees(i)
	}
	k.once(k.servers[0].client(k.t, "root"))
}

// start runs the server of that number.
func (k *several) start(i int) {
	p := run(k.t, nil, append(standard(k.db), "--cache-dir", k.t.TempDir())...)
	p.logged(k.t, "ready")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.servers[i] = p
	own := &killing{t: k.t, large: k.large}
	own.connect(k.worldOf(i))
	k.cells[i] = own.cells
}

func (k *several) worldOf(i int) *killWorld {
	w := &killWorld{admin: k.servers[i].client(k.t, "root")}
	for v := range victims {
		w.devices = append(w.devices, k.servers[i].client(k.t, fmt.Sprint("victim-", v)))
	}
	return w
}

// work changes a cell at any server until ctx ends. What comes to nothing is tried again
// at any other; so is some that was acknowledged, as by those whom the answer did not reach.
func (k *several) work(ctx context.Context, i int, random *rand.Rand) {
	c := k.killing.cells[i]
	any := func() *cell {
		k.mu.Lock()
		defer k.mu.Unlock()
		return k.cells[random.IntN(len(k.cells))][i]
	}
	for ctx.Err() == nil {
		n, unbroken := c.next(random), context.WithoutCancel(ctx)
		if k.try(unbroken, c, any(), n) != nil {
			k.cutOff.Add(1)
			continue
		}
		if random.IntN(3) > 0 {
			continue
		}
		if again, err := any().change(unbroken, n, c.turn); err == nil && again && c.tells {
			k.t.Errorf("%s was made %d twice", c.name, n)
		}
	}
}

// agrees waits until a server says what was acknowledged, or what was cut off since.
func (k *several) agrees(i int) {
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		wrong := ""
		for at, c := range k.killing.cells {
			got, err := k.cells[i][at].read(k.t.Context())
			if err != nil || got != c.sure && !slices.Contains(c.maybe, got) {
				wrong = fmt.Sprintf("%s is %d, acknowledged was %d, cut off %v: %v", c.name, got, c.sure, c.maybe, err)
				continue
			}
			c.sure, c.maybe = got, nil // all must say the same
		}
		if wrong == "" {
			return
		}
		if time.Since(start) > 10*time.Second {
			k.t.Fatalf("server %d: %s", i, wrong)
		}
	}
}
