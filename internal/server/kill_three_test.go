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
	"github.com/trusch/jamesd/pkg/james"
)

// three is a fleet of jamesd on one database. Each has its own cells, which know
// where to ask; what they must say is in those of the killing.
type three struct {
	*killing
	cutOff  atomic.Int64
	mu      sync.Mutex
	servers [3]*process
	cells   [3][]*cell
}

// TestKillOneOfThree kills one of three jamesd on one database after the other, while
// all that use it go on at another one. Nothing that any of them acknowledged is lost,
// and all of them say the same in the end.
func TestKillOneOfThree(t *testing.T) {
	t.Parallel()
	kills := setting(t, envKills, 3)
	seed := setting(t, envSeed, rand.IntN(1<<30))
	victimCertificates(t)
	k := &three{killing: &killing{t: t, db: mongodtest.URI(t), seed: uint64(seed), large: 300_000}}
	for i := range k.servers {
		k.start(i)
	}
	k.connect(k.worldOf(0))
	k.introduce(k.worldOf(0))

	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	defer cancel()
	var work sync.WaitGroup
	for i := range k.killing.cells {
		work.Go(func() { k.work(ctx, i, rand.New(rand.NewPCG(k.seed, uint64(i)))) })
	}
	random := rand.New(rand.NewPCG(k.seed, 99))
	for n := range kills {
		time.Sleep(time.Duration(random.Int64N(int64(time.Second))))
		k.kill(k.servers[n%3])
		time.Sleep(time.Duration(random.Int64N(int64(200 * time.Millisecond))))
		k.start(n % 3)
	}
	cancel()
	work.Wait()
	for i := range k.servers {
		k.agrees(i)
	}
	k.check(kills)
	t.Logf("%d kills with seed %d: %d changes acknowledged, %d of them of packets; %d cut off", kills, seed, k.acknowledged.Load(), k.packets.Load(), k.cutOff.Load())
}

// start runs the server of that number.
func (k *three) start(i int) {
	p := run(k.t, nil, append(standard(k.db), "--cache-dir", k.t.TempDir())...)
	p.logged(k.t, "ready")
	k.mu.Lock()
	defer k.mu.Unlock()
	k.servers[i] = p
	own := &killing{t: k.t, large: k.large}
	own.connect(k.worldOf(i))
	k.cells[i] = own.cells
}

func (k *three) worldOf(i int) *killWorld {
	w := &killWorld{admin: k.servers[i].client(k.t, "root")}
	for v := range victims {
		w.devices = append(w.devices, k.servers[i].client(k.t, fmt.Sprint("victim-", v)))
	}
	return w
}

// work changes a cell at any server until ctx ends.
func (k *three) work(ctx context.Context, i int, random *rand.Rand) {
	c := k.killing.cells[i]
	for ctx.Err() == nil {
		n := 1 + random.IntN(versions)
		if n == c.sure {
			continue
		}
		k.mu.Lock()
		at := k.cells[random.IntN(3)][i]
		k.mu.Unlock()
		err := at.change(context.WithoutCancel(ctx), n)
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
		k.cutOff.Add(1)
	}
}

// agrees waits until a server says what was acknowledged, or what was cut off since.
func (k *three) agrees(i int) {
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
