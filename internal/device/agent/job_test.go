package agent_test

import (
	"context"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

// slowly has the bodies of a server come with so many bytes a second.
func slowly(perSecond int) func(int64, io.Reader) (io.ReadCloser, error) {
	return func(_ int64, r io.Reader) (io.ReadCloser, error) { return io.NopCloser(&slow{r, perSecond}), nil }
}

type slow struct {
	r         io.Reader
	perSecond int
}

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.r.Read(p[:min(len(p), s.perSecond)])
}

// utc has the agent's clock show UTC, wherever the test runs.
func utc(o *agent.Options) { o.Now = func() time.Time { return time.Now().UTC() } }

// newSlow returns a device that wants a packet whose download takes a thousand
// seconds.
func newSlow(t *testing.T) (*device, *packet, *packet) {
	big, small := newPacket(t, "big", "v1", 1_000_000), newPacket(t, "small", "v1", 10)
	s := newServer(big, small)
	s.body = slowly(1000)
	d := newDevice(t, s)
	d.options = utc
	return d, big, small
}

func TestFetchingBesideThePolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, big, _ := newSlow(t)
		d.server.want(big)
		defer d.run()()
		d.pass(900 * time.Second)
		if len(d.server.polls) < 25 {
			t.Errorf("polled %d times beside a download of 900 s", len(d.server.polls))
		}
		plan := d.server.plan()
		for _, p := range d.server.polls[1:] {
			if p.req.Known != plan.ID || p.req.KnownRevision != 1 {
				t.Errorf("polled with the plan %s known", p.req.Known.Short())
			}
		}
		if len(d.installer.tries) != 0 {
			t.Error("applied before all was there")
		}
		start := time.Now()
		for len(d.installer.Apps()) == 0 && time.Since(start) < 200*time.Second {
			d.pass(time.Second)
		}
		if took := time.Since(start); took > 101*time.Second {
			t.Errorf("applied %s after the download", took-100*time.Second)
		}
		d.pass(time.Second)
		if len(d.server.reports) != 1 || len(d.server.gets) != 1 {
			t.Errorf("%d reports and %d downloads", len(d.server.reports), len(d.server.gets))
		}
	})
}

// TestAnotherPlan has the desired state change in the middle of a download.
func TestAnotherPlan(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change func(d *device, big, small *packet)
		apps   []string
		gets   int
		report int
	}{
		"another packet": {func(d *device, big, small *packet) { d.server.want(small) }, []string{"small"}, 2, 1},
		"nothing":        {func(d *device, big, small *packet) { d.server.want() }, nil, 1, 0},
		"left alone": {func(d *device, big, small *packet) {
			d.server.set(func() { d.server.desired = nil })
		}, nil, 1, 0},
		"another revision of the same": {func(d *device, big, small *packet) { d.server.want(big) }, []string{"big"}, 1, 1},
		"what cannot be resolved": {func(d *device, big, small *packet) {
			d.server.set(func() {
				d.server.desired, d.server.problems = []*packet{}, []james.Problem{{Kind: james.Unresolved}}
				d.server.revision++
			})
		}, nil, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				d, big, small := newSlow(t)
				d.server.want(big)
				defer d.run()()
				d.pass(100 * time.Second)
				tc.change(d, big, small)
				d.pass(4 * time.Second)
				if name != "another revision of the same" && d.server.served > 105_000 {
					t.Errorf("%d bytes came after 100 s of 1000 a second", d.server.served)
				}
				d.pass(1000 * time.Second)
				var apps []string
				for _, a := range d.installer.Apps() {
					apps = append(apps, a.Name)
				}
				if !slices.Equal(apps, tc.apps) || len(d.server.gets) != tc.gets || len(d.server.reports) != tc.report {
					t.Errorf("has %q after %d downloads and %d reports", apps, len(d.server.gets), len(d.server.reports))
				}
				for _, r := range d.server.reports {
					if r.Result != james.Committed || r.Revision != d.server.revision {
						t.Errorf("reported %+v", r)
					}
				}
			})
		})
	}
}

// TestFetchingWithoutPolls: a server that answers nothing but downloads does not
// keep the plan from being carried out.
func TestFetchingWithoutPolls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, big, _ := newSlow(t)
		d.server.want(big)
		defer d.run()()
		d.pass(100 * time.Second)
		d.server.set(func() { d.server.down = unreachable })
		d.pass(910 * time.Second)
		if len(d.installer.Apps()) != 1 {
			t.Error("what was fetched is not applied while the server is away")
		}
		d.server.set(func() { d.server.down = nil })
		d.pass(6 * time.Minute)
		if len(d.server.reports) != 1 {
			t.Errorf("reports are %+v", d.server.reports)
		}
	})
}

// TestProgress has a download of 1000 seconds told of.
func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, big, _ := newSlow(t)
		d.installer.during = func(context.Context) { time.Sleep(10 * time.Second) }
		d.server.want(big)
		defer d.run()()
		d.pass(1100 * time.Second)
		plan := d.server.reports[0].Plan
		var last told
		for n, m := range d.server.told {
			if m.p.Plan != plan || m.p.Revision != 1 {
				t.Errorf("told of %+v", m.p)
			}
			if n > 0 && m.at.Sub(last.at) < 5*time.Second {
				t.Errorf("told again after %s", m.at.Sub(last.at))
			}
			if m.p.Phase == james.Downloading {
				if m.p.Total < 998_000 || m.p.Done < last.p.Done || n > 0 && m.p.Done > last.p.Done+60_000 || m.p.Rate < 700 && n > 0 || m.p.Rate > 1100 {
					t.Errorf("%d: %s after %s", n, &m.p, &last.p)
				}
			}
			last = m
		}
		if n := len(d.server.told); n < 20 || n > 40 || last.p.Phase != james.Applying {
			t.Errorf("told %d times, last: %s", n, &last.p)
		}
		before := len(d.server.told)
		d.pass(time.Hour)
		if len(d.server.told) != before {
			t.Error("told of a plan that had ended")
		}
	})
}

// TestNoProgressOfLittle: what is there at once costs no more requests, and no poll
// beside it.
func TestNoProgressOfLittle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d, _, small := newSlow(t)
		d.server.want(small)
		defer d.run()()
		d.pass(3 * time.Second)
		if len(d.server.told) != 0 || len(d.server.polls) != 2 || len(d.installer.Apps()) != 1 {
			t.Errorf("told %d times, polled %d times", len(d.server.told), len(d.server.polls))
		}
	})
}
