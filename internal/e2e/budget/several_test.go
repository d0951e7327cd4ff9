package budget_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// Of two jamesd on one database: how often a desired state is set by way of each, and for
// how long the database is away.
const (
	severalChanges = 50
	severalAway    = 10 * time.Second
)

// several is two jamesd on one database, and a device.
type several struct {
	*machine
	db      *mongodtest.Server
	servers [2]*server
	admins  [2]*client.Client
	device  *client.Client // at the second
	content []byte         // of a packet
}

// measureSeveral changes what a device shall have whose polls one of two jamesd holds, by
// way of that one and of the other; then it takes the database from both.
func measureSeveral(b *testing.B, m *machine, t *table) {
	s := &several{machine: m, db: mongodtest.Start(b)}
	must(b, pki.AddClient(m.pki, "several"))
	for i := range s.servers {
		s.servers[i] = m.jamesd(b, s.db.URI("fleet"))
		s.admins[i] = m.caller(b, s.servers[i], "admin")
	}
	s.device = m.caller(b, s.servers[1], "several")
	tree := b.TempDir()
	must(b, writeFile(tree+"/opt/app", []byte("app")))
	content, err := io.ReadAll(buildArchive(b, tree, archive.FormatTar))
	must(b, err)
	s.content = content
	for _, tag := range []string{"v1", "v2"} {
		must(b, s.upload(b.Context(), 0, tag))
	}
	_, err = s.device.Poll(b.Context(), s.report("here"))
	must(b, err)

	known := &james.Plan{}
	s.reached(b, 1, 1, &known) // the first one finds nothing there
	times := [2][]float64{}
	for n := 1; n <= severalChanges; n++ {
		for i := range times {
			times[i] = append(times[i], s.reached(b, i, 2*n+i, &known))
		}
	}
	slices.Sort(times[0])
	slices.Sort(times[1])
	at := func(i int, share float64) float64 { return times[i][int(share*(severalChanges-1))] }
	t.add("two jamesd: a set-desired-state reaches a device at the other", "< 1 s", at(0, 1) < 1000,
		"%.0f ms median, %.0f ms p99, %.0f ms at most; at the same %.1f, %.0f and %.0f ms (median 1:%.0f), of %d",
		at(0, .5), at(0, .99), at(0, 1), at(1, .5), at(1, .99), at(1, 1), at(0, .5)/at(1, .5), severalChanges)
	s.outage(b, t)
	for _, one := range s.servers {
		one.stop()
	}
}

// caller returns a client that tries nothing again.
func (m *machine) caller(b *testing.B, s *server, name string) *client.Client {
	b.Helper()
	conf, err := pki.ClientTLS(m.pki+"/ca.crt", m.pki+"/"+name+".crt", m.pki+"/"+name+".key")
	must(b, err)
	c, err := client.New(client.Options{Addr: s.addr, TLS: conf, Retries: -1})
	must(b, err)
	return c
}

func (s *several) upload(ctx context.Context, at int, tag string) error {
	_, err := s.admins[at].AddPacket(ctx, james.AddPacketRequest{Name: fleetApp, Tags: james.MustTags(tag)}, bytes.NewReader(s.content))
	return err
}

func (s *several) report(tag string) james.PollRequest {
	return james.PollRequest{Report: &james.DeviceReport{SystemTags: james.MustTags(tag)}}
}

// set sets the desired state of the device, each time to another one than before.
func (s *several) set(ctx context.Context, at, n int) error {
	app := james.App{Name: fleetApp, Tags: james.MustTags(fmt.Sprint("v", 1+n%2))}
	_, err := s.admins[at].SetDesired(ctx, james.SetDesiredRequest{Force: true, State: james.State{ID: "several", Apps: []james.App{app}}})
	return err
}

// reached returns how many milliseconds a change by way of a server takes until the device
// has its plan.
func (s *several) reached(b *testing.B, at, n int, known **james.Plan) float64 {
	b.Helper()
	req := s.report("here")
	req.Wait, req.Known, req.KnownRevision = 60, (*known).ID, (*known).Revision
	answer := make(chan error, 1)
	go func() {
		resp, err := s.device.Poll(b.Context(), req)
		if err == nil && resp.Plan == nil {
			err = james.Errorf(james.KindInternal, "poll", "is answered without a plan")
		}
		if err == nil {
			*known = resp.Plan
		}
		answer <- err
	}()
	s.servers[1].held(b, 1)
	begun := time.Now()
	must(b, s.set(b.Context(), at, n))
	must(b, <-answer)
	return time.Since(begun).Seconds() * 1000
}

// outage takes the database away while all sorts of things are asked for at both, and
// notes what was answered meanwhile, and when all of it is acknowledged again.
func (s *several) outage(b *testing.B, t *table) {
	ctx, cancel := context.WithCancel(b.Context())
	var idle, vain atomic.Int64
	var work sync.WaitGroup
	work.Go(func() {
		for same := (james.PollRequest{Same: s.report("here").Report.Digest()}); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
			if _, err := s.device.Poll(ctx, same); err == nil {
				idle.Add(1)
			} else if ctx.Err() == nil {
				vain.Add(1)
			}
		}
	})
	s.db.Kill()
	other := s.caller(b, s.servers[0], "several")
	var asked sync.WaitGroup
	for _, ask := range []func(n int) error{
		func(n int) error { return s.set(ctx, 0, n) },
		func(n int) error { return s.set(ctx, 1, n) },
		func(n int) error { return s.upload(ctx, 0, fmt.Sprint("new", n)) },
		func(n int) error { return s.upload(ctx, 1, fmt.Sprint("newer", n)) },
		func(n int) error {
			_, err := other.Poll(ctx, s.report(fmt.Sprint("n", n)))
			return err
		},
	} {
		asked.Go(func() {
			for n := 0; ask(n) != nil; n++ {
				time.Sleep(20 * time.Millisecond)
			}
		})
	}
	time.Sleep(severalAway)
	polls, failed := idle.Load(), vain.Load()
	s.db.Restart()
	back := time.Now()
	asked.Wait()
	t.note("two jamesd, their database away for 10 s: all is acknowledged again", "%.2f s after it is back; %d polls answered meanwhile, %d not",
		time.Since(back).Seconds(), polls, failed)
	cancel()
	work.Wait()
}
