package server_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"net/http"
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

// envAway is for how many seconds the database is away at least.
const envAway = "JAMES_TEST_AWAY"

// TestDatabaseAway takes the database from two jamesd that are at work, and starts a third
// one meanwhile. Polls whose answer is known are answered, held or not; all else is told
// to come again, does, and finds what was acknowledged; a download is whole in the end.
func TestDatabaseAway(t *testing.T) {
	t.Parallel()
	seconds := setting(t, envAway, 0)
	victimCertificates(t)
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		db := mongodtest.Start(t)
		away(t, db, time.Duration(seconds)*time.Second, db.Kill, db.Restart)
	})
	t.Run("hanging", func(t *testing.T) {
		t.Parallel()
		db := mongodtest.Start(t)
		away(t, db, time.Duration(seconds)*time.Second, db.Hang, db.GoOn)
	})
}

// away is TestDatabaseAway with a database that goes and comes back in some way, and is away
// for some time at least.
func away(t *testing.T, db *mongodtest.Server, atLeast time.Duration, goes, comes func()) {
	uri := db.URI("fleet")
	if atLeast == 0 {
		uri += "?serverSelectionTimeoutMS=300" // it is out of reach sooner
	}
	k := newSeveral(t, uri, 2, rand.Uint64(), 60_000)
	f := newAwayFleet(k)
	defer f.stop()
	stop := k.load()
	defer stop()
	soon(t, "that all are at work", func() bool { return least(k.changed()) >= 1 && least(f.answered()) >= 1 })
	f.fetch()
	soon(t, "that a download has begun", func() bool { return f.download.Load() > 0 })

	goes()
	gone := time.Now()
	turned, before := k.turnedAway(), f.answered()
	third := run(t, nil, append(standard(k.db), "--cache-dir", t.TempDir())...)
	third.logged(t, "store not reached")
	for _, p := range append(k.servers, third) {
		soon(t, "that it says so", func() bool {
			status, body := p.get(t, "/readyz")
			return status == http.StatusServiceUnavailable && strings.Contains(body, "database")
		})
	}
	_, err := third.client(t, "victim-0").Poll(t.Context(), f.devices[0].request(0))
	if james.KindOf(err) != james.KindUnavailable || james.AfterOf(err) == 0 {
		t.Errorf("one that has never reached it answers %v", err)
	}
	soon(t, "that nothing more is stored", func() bool { return least(since(k.turnedAway(), turned)) >= 1 })
	soon(t, "that polls are answered", func() bool { return least(since(f.answered(), before)) >= 5 })
	time.Sleep(time.Until(gone.Add(atLeast)))
	if polls := since(f.answered(), before); least(polls) < int64(atLeast/(2*time.Second)) {
		t.Errorf("in %s there were %v answers to polls", atLeast, polls)
	}
	if f.whole.Load() {
		t.Error("the download is through before it was cut")
	}

	changed := k.changed()
	comes()
	back := time.Now()
	soon(t, "that all is stored again", func() bool { return least(since(k.changed(), changed)) >= 1 })
	t.Logf("away for %s; all that had been turned away was acknowledged %s after it was back; polls answered meanwhile: %v",
		back.Sub(gone).Round(time.Millisecond), time.Since(back).Round(time.Millisecond), since(f.answered(), before))
	soon(t, "that the download is whole", f.whole.Load)
	stop()
	f.stop()
	third.logged(t, "ready")
	k.take(third)
	k.settle()
	k.check(0)
}

// soon waits for a moment.
func soon(t *testing.T, what string, is func() bool) {
	t.Helper()
	for start := time.Now(); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > patience {
			t.Fatal("not seen: ", what)
		}
	}
}

func least(of []int64) int64 {
	n := of[0]
	for _, m := range of {
		n = min(n, m)
	}
	return n
}

func since(now, before []int64) []int64 {
	for i := range now {
		now[i] -= before[i]
	}
	return now
}

// changed returns how often each cell was changed, turnedAway how often in vain.
func (k *several) changed() []int64 {
	return k.each(func(c *cell) int64 { return c.acknowledged.Load() })
}

func (k *several) turnedAway() []int64 {
	return k.each(func(c *cell) int64 { return c.turnedAway.Load() })
}

func (k *several) each(count func(*cell) int64) (out []int64) {
	for _, c := range k.killing.cells {
		out = append(out, count(c))
	}
	return out
}

// awayFleet is devices for which there is nothing new, and one that downloads.
type awayFleet struct {
	t        *testing.T
	devices  []*steady
	download atomic.Int64 // bytes that have come
	whole    atomic.Bool
	fetch    func() // begins the download
	stop     func()
}

// steady is a device that asks again and again, and always gets the same answer.
type steady struct {
	id       string
	apps     []james.App
	plan     bool // it has something to do, which it does not
	wait     int  // seconds for which its polls are held
	answered atomic.Int64
}

var steadyOnce sync.Once

// newAwayFleet has steady devices poll, and one of them download, at the first servers.
func newAwayFleet(k *several) *awayFleet {
	f := &awayFleet{t: k.t, devices: []*steady{
		{id: "steady-idle"}, {id: "steady-held", wait: 1}, {id: "steady-plan", plan: true},
	}}
	steadyOnce.Do(func() {
		for _, d := range f.devices {
			check(pki.AddClient(certs, d.id))
		}
	})
	admin := k.servers[0].client(k.t, "root")
	content := tarOf(k.t, string(noise(7, 5<<20)))
	added, err := admin.AddPacket(k.t.Context(), james.AddPacketRequest{Name: "steady"}, bytes.NewReader(content))
	must(k.t, err)
	ctx, cancel := context.WithCancel(k.t.Context())
	var work sync.WaitGroup
	for i, d := range f.devices {
		at := k.servers[i%2].client(k.t, d.id)
		if !d.plan {
			d.apps = []james.App{added.Packet.App()}
		}
		f.introduce(admin, at, d)
		work.Go(func() { f.poll(ctx, at, d) })
	}
	at := k.servers[0].client(k.t, "steady-plan")
	f.fetch = func() { work.Go(func() { f.get(ctx, at, &added.Packet, content) }) }
	f.stop = func() {
		cancel()
		work.Wait()
	}
	return f
}

// introduce has a device known, and to have what it has.
func (f *awayFleet) introduce(admin, at *client.Client, d *steady) {
	_, err := at.Poll(f.t.Context(), james.PollRequest{Report: d.report()})
	must(f.t, err)
	_, err = admin.SetDesired(f.t.Context(), james.SetDesiredRequest{Force: true, State: james.State{ID: d.id, Apps: []james.App{{Name: "steady"}}}})
	must(f.t, err)
	soon(f.t, "that its server knows what is wanted", func() bool {
		resp, err := at.Poll(f.t.Context(), d.request(0))
		must(f.t, err)
		return resp.Revision == 1 || resp.Plan != nil
	})
}

func (d *steady) report() *james.DeviceReport { return &james.DeviceReport{Apps: d.apps} }

func (d *steady) request(wait int) james.PollRequest {
	return james.PollRequest{Same: d.report().Digest(), Wait: wait}
}

// poll polls until ctx ends, which no database may disturb.
func (f *awayFleet) poll(ctx context.Context, at *client.Client, d *steady) {
	for ctx.Err() == nil {
		resp, err := at.Poll(ctx, d.request(d.wait))
		switch {
		case ctx.Err() != nil:
			return
		case err != nil || resp.Resend || (resp.Plan != nil) != d.plan || !d.plan && resp.Revision != 1:
			f.t.Errorf("%s is answered with %+v, %v", d.id, resp, err)
			return
		}
		d.answered.Add(1)
		time.Sleep(20 * time.Millisecond)
	}
}

func (f *awayFleet) answered() (out []int64) {
	for _, d := range f.devices {
		out = append(out, d.answered.Load())
	}
	return out
}

// get downloads an archive slowly, and goes on where it was cut off.
func (f *awayFleet) get(ctx context.Context, at *client.Client, p *james.Packet, want []byte) {
	sum, got := sha256.New(), int64(0)
	for got < p.Archive.Size {
		if ctx.Err() != nil {
			return
		}
		r, err := at.Archive(ctx, p.Digest, p.Archive, got)
		if err == nil {
			var n int64
			n, err = io.Copy(sum, &slowly{r, &f.download})
			got += n
			r.Close()
		}
		if kind := james.KindOf(err); err != nil && ctx.Err() == nil && !kind.Retryable() {
			f.t.Errorf("the download fails after %d bytes: %v", got, err)
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	if expected := sha256.Sum256(want); !bytes.Equal(sum.Sum(nil), expected[:]) {
		f.t.Error("what was downloaded is something else")
	}
	f.whole.Store(true)
}

// slowly reads a megabyte in a second, and counts.
type slowly struct {
	io.Reader
	read *atomic.Int64
}

func (s *slowly) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p[:min(len(p), 16<<10)])
	s.read.Add(int64(n))
	time.Sleep(time.Duration(n) * time.Microsecond)
	return n, err
}

// take makes a server that runs one of them.
func (k *several) take(p *process) {
	k.servers = append(k.servers, p)
	own := &killing{t: k.t, large: k.large}
	own.connect(k.worldOf(len(k.servers) - 1))
	k.cells = append(k.cells, own.cells)
}
