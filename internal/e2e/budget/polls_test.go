package budget_test

import (
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// measurePolls measures a server that has 10,000 packets and devices.
func measurePolls(b *testing.B, m *machine, t *table) {
	db := load(b, deviceCount)
	calls := countCalls(b, db)
	ca := newIssuer(b, m)
	s := m.jamesd(b, db)
	t.rate(b, s.addr, m.empty(b), ca)
	t.add("idle polls: calls of the store", "0", calls == 0, "%d in %d polls", calls, 2*deviceCount)
	in, out := wireBytes(b, m, s.addr)
	t.add("idle poll on the wire", "<= 600 B", in+out <= 600, "%d B (request %d, answer %d)", in+out, in, out)
	t.hold(b, s, ca)
}

// rate compares idle polls with requests to the empty server.
func (t *table) rate(b *testing.B, ours, empty string, ca *issuer) {
	const conns, pairCount, window = 8, 9, time.Second
	dialAll := func(addr string) (all []*caller) {
		for i := range conns {
			c := dial(b, addr, ca.conf(b, deviceID(i)))
			c.says(b, james.PollRequest{Report: reportOf(i)})
			must(b, c.exchange())
			c.says(b, james.PollRequest{Same: reportOf(i).Digest()})
			all = append(all, c)
		}
		return all
	}
	a, e := dialAll(ours), dialAll(empty)
	perSecond := func(all []*caller) func() float64 {
		return func() float64 { return requests(b, all, window) / window.Seconds() }
	}
	perSecond(a)()
	perSecond(e)() // both are warm
	x, y, ratio := pairs(pairCount, perSecond(a), perSecond(e))
	t.add("idle poll, rate against an empty net/http mTLS handler", ">= 60 %", ratio >= 0.6, "%.0f %% (%.0f/s against %.0f/s)", 100*ratio, x, y)
}

// requests returns how many polls the callers get answered within the window.
func requests(b *testing.B, all []*caller, window time.Duration) float64 {
	var n atomic.Int64
	var stop atomic.Bool
	time.AfterFunc(window, func() { stop.Store(true) })
	var g sync.WaitGroup
	for _, c := range all {
		g.Go(func() {
			for !stop.Load() {
				if err := c.exchange(); err != nil {
					b.Error(err)
					return
				}
				n.Add(1)
			}
		})
	}
	g.Wait()
	return float64(n.Load())
}

// exchange sends a poll and wants an idle answer.
func (c *caller) exchange() error {
	if err := c.send(); err != nil {
		return err
	}
	idle, err := c.idle()
	if err == nil && !idle {
		err = james.Errorf(james.KindConflict, "poll", "is not idle")
	}
	return err
}

// hold has every device wait for a change, and then replaces the packet that all
// of them have.
func (t *table) hold(b *testing.B, s *server, ca *issuer) {
	n := min(deviceCount, openFiles(b)-500)
	before := s.memory(b, "VmRSS")
	all := make([]*caller, n)
	var g sync.WaitGroup
	for w := range 8 {
		g.Go(func() {
			for i := w; i < n; i += 8 {
				c := dial(b, s.addr, ca.conf(b, deviceID(i)))
				c.says(b, james.PollRequest{Report: reportOf(i), Wait: 300})
				must(b, c.send())
				all[i] = c
			}
		})
	}
	g.Wait()
	s.held(b, n)
	rss := s.memory(b, "VmRSS")
	each := (rss - before) * 1.024 / float64(n)
	t.add("held polls: RSS of jamesd for each", "<= 60 KB", each <= 60, "%.1f KB, %d held (%.0f MB, %.0f MB before them)", each, n, rss*1.024/1000, before*1.024/1000)
	took := wake(b, s, all)
	t.add("held polls: a change reaches all of them within", "<= 2 s", took <= 2*time.Second, "%.2f s, %d devices", took.Seconds(), n)
}

// wake replaces the packet and returns the time until the last device knows,
// upload included.
func wake(b *testing.B, s *server, all []*caller) time.Duration {
	tree := b.TempDir()
	must(b, writeFile(tree+"/opt/new", []byte("new")))
	req := common
	req.Replace = true
	data := buildArchive(b, tree, archive.FormatTar)
	begin := time.Now()
	var g sync.WaitGroup
	for _, c := range all {
		g.Go(func() {
			if idle, err := c.idle(); err != nil || idle {
				b.Errorf("a held poll ended without a plan: %v", err)
			}
		})
	}
	_, err := s.admin.AddPacket(b.Context(), req, data)
	must(b, err)
	g.Wait()
	return time.Since(begin)
}

// openFiles returns how many files this process and its children may open; Go
// has raised the limit to what is allowed.
func openFiles(b *testing.B) int {
	var l syscall.Rlimit
	must(b, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l))
	return int(min(l.Max, 1<<20))
}
