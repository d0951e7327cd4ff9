package fleet_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/memstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
	"github.com/trusch/jamesd/pkg/james"
)

const benchSystem = "armv7l,debian-11,glibc-2.31,systemd"

// large returns a Fleet with packets, at least 1,000 of 200 names, and devices
// that are in their desired states of 10 apps, and what each of them reports.
func large(tb testing.TB, existing, devices int) (w *world, counter *storetest.Counter, reports []*james.DeviceReport) {
	tb.Helper()
	s := memstore.New()
	packets := new(resolve.Catalogue)
	for i := range existing {
		systems := []string{"armv6l", "armv7l", "aarch64", "x86_64", "riscv64"}
		p := &james.Packet{Name: fmt.Sprintf("packet-%d", i%200), Digest: james.DigestOf(fmt.Append(nil, i)),
			Tags: james.MustTags(fmt.Sprintf("v1.%d.0,%s,glibc-2.31,systemd", i/1000, systems[i/200%5]))}
		packets.Add(p)
		put(tb, s.Packets(), store.PacketKey(p.Name, p.Tags), p)
	}
	for i := range devices {
		id := fmt.Sprintf("device-%d", i)
		d := &james.Device{ID: id, SystemTags: james.MustTags(benchSystem), Agent: "bench", FirstSeen: time.Unix(1e9, 0)}
		desired := &james.Desired{Device: id, Revision: 1}
		for j := range 10 {
			wanted := app(fmt.Sprintf("packet-%d v1.0.0", (i+j)%200))
			p, problem := resolve.Find(packets, wanted, d.SystemTags)
			if problem != nil {
				tb.Fatal(problem.Detail)
			}
			desired.Apps = append(desired.Apps, wanted)
			d.Apps = append(d.Apps, p.App())
		}
		put(tb, s.Devices(), id, d)
		put(tb, s.Desired(), id, desired)
		reports = append(reports, &james.DeviceReport{SystemTags: d.SystemTags, Apps: d.Apps, Agent: d.Agent})
	}
	counter = storetest.Count(s)
	return join(tb, &fragile{Store: counter}, memblob.New()), counter, reports
}

func put[T any](tb testing.TB, table store.Table[T], key string, row *T) {
	if _, _, err := table.Update(tb.Context(), key, func(*T) (*T, error) { return row, nil }); err != nil {
		tb.Fatal(err)
	}
}

// TestIdlePollTouchesNoStore counts every call of the store.
func TestIdlePollTouchesNoStore(t *testing.T) {
	t.Parallel()
	w, counter, reports := large(t, 1000, 100)
	before := counter.Calls()
	for i, r := range reports {
		id := fmt.Sprintf("device-%d", i)
		for _, req := range []james.PollRequest{{Report: r}, {Same: r.Digest()}} {
			resp, err := w.Poll(t.Context(), id, req)
			if err != nil || resp.Plan != nil || resp.Resend || resp.Revision != 1 {
				t.Fatalf("the poll of %s is not idle: %+v, %v", id, resp, err)
			}
		}
	}
	if n := counter.Calls() - before; n != 0 {
		t.Errorf("%d idle polls made %d calls of the store", 2*len(reports), n)
	}
	w.poll("device-0", report("other"))
	if counter.Calls() == before {
		t.Error("a poll with news made no call either: the counter does not count")
	}
}

// BenchmarkIdlePoll polls with 10,000 devices and 10,000 packets loaded.
func BenchmarkIdlePoll(b *testing.B) {
	w, counter, reports := large(b, 10_000, 10_000)
	ids := make([]string, len(reports))
	digests := make([]james.Digest, len(reports))
	for i, r := range reports {
		ids[i], digests[i] = fmt.Sprintf("device-%d", i), r.Digest()
		w.poll(ids[i], r) // the first poll makes the plan
	}
	poll := func(b *testing.B, request func(int) james.PollRequest) {
		before := counter.Calls()
		var next atomic.Int64
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				i := int(next.Add(1)) % len(ids)
				resp, err := w.Poll(b.Context(), ids[i], request(i))
				if err != nil || resp.Plan != nil || resp.Resend {
					b.Errorf("%+v, %v", resp, err)
					return
				}
			}
		})
		b.ReportMetric(float64(counter.Calls()-before), "calls")
	}
	b.Run("digest", func(b *testing.B) {
		poll(b, func(i int) james.PollRequest { return james.PollRequest{Same: digests[i]} })
	})
	b.Run("report", func(b *testing.B) {
		poll(b, func(i int) james.PollRequest { return james.PollRequest{Report: reports[i]} })
	})
}

// BenchmarkWake replaces a packet that 10,000 devices with held polls want, and
// waits until each of them has its new plan.
func BenchmarkWake(b *testing.B) {
	const devices = 10_000
	w := newWorld(b, func(o *fleet.Options) { o.PollInterval = time.Minute })
	installed := w.add("a v1")
	for i := range devices {
		w.poll(fmt.Sprintf("d%d", i), report("s", installed))
		w.want(fmt.Sprintf("d%d", i), "a v1")
	}
	for i := 0; b.Loop(); i++ {
		b.StopTimer()
		back := must(w.upload("a v1", "", true)).Packet // the one that they have
		var before, held runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		var polls sync.WaitGroup
		for i := range devices {
			polls.Go(func() {
				resp, err := w.Poll(b.Context(), fmt.Sprintf("d%d", i), james.PollRequest{Report: report("s", back), Wait: 300})
				if err != nil || resp.Plan == nil {
					b.Errorf("%+v, %v", resp, err)
				}
			})
		}
		for w.Stats().Waiting < devices {
			runtime.Gosched()
		}
		runtime.GC()
		runtime.ReadMemStats(&held)
		b.ReportMetric(float64(held.HeapInuse+held.StackInuse-before.HeapInuse-before.StackInuse)/devices, "B/poll")
		b.StartTimer()
		must(w.upload("a v1", fmt.Sprint(i, time.Now()), true))
		polls.Wait()
	}
}

// BenchmarkLoad starts a Fleet on a store of 10,000 packets and devices.
func BenchmarkLoad(b *testing.B) {
	w, _, _ := large(b, 10_000, 10_000)
	for b.Loop() {
		join(b, w.store, w.blobs)
	}
}
