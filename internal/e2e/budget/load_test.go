package budget_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"golang.org/x/sync/errgroup"

	"github.com/trusch/jamesd/internal/server/blob/memblob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/internal/server/store/boltstore"
	"github.com/trusch/jamesd/internal/server/store/storetest"
	"github.com/trusch/jamesd/pkg/james"
)

const (
	packetCount = 10_000
	deviceCount = 10_000
	systemTags  = "armv7l,debian-11,glibc-2.31,systemd"
)

// common is a packet that every device has and wants.
var common = james.AddPacketRequest{Name: "packet-0", Tags: james.MustTags("v1.0.0," + systemTags)}

func deviceID(i int) string { return fmt.Sprintf("device-%d", i) }

// benchPacket is one of the catalogue: 200 names, 5 systems, 10 versions.
func benchPacket(i int) *james.Packet {
	systems := []string{"armv7l", "armv6l", "aarch64", "x86_64", "riscv64"}
	tags := fmt.Sprintf("v1.%d.0,%s,debian-11,glibc-2.31,systemd", i/1000, systems[i/200%5])
	return &james.Packet{Name: fmt.Sprintf("packet-%d", i%200), Digest: james.DigestOf(fmt.Append(nil, i)), Tags: james.MustTags(tags)}
}

// reportOf is what a device says that has what it wants: ten apps.
func reportOf(i int) *james.DeviceReport {
	r := &james.DeviceReport{SystemTags: james.MustTags(systemTags), Revision: 1, Agent: "bench", Apps: []james.App{benchPacket(0).App()}}
	for j := range 9 {
		r.Apps = append(r.Apps, benchPacket(1+(i+j)%199).App())
	}
	return r
}

// load fills the directory of an embedded store with so many devices and all packets,
// and returns it.
func load(b *testing.B, devices int) string {
	b.Helper()
	db := b.TempDir()
	s, err := boltstore.Open(b.Context(), filepath.Join(db, "jamesd.db"))
	must(b, err)
	var g errgroup.Group
	g.SetLimit(1000) // the store writes those together that wait together
	for i := range packetCount {
		p := benchPacket(i)
		g.Go(func() error { return put(b, s.Packets(), store.PacketKey(p.Name, p.Tags), p) })
	}
	for i := range devices {
		id, r := deviceID(i), reportOf(i)
		wanted := &james.Desired{Device: id, Revision: 1}
		for _, a := range r.Apps {
			wanted.Apps = append(wanted.Apps, james.App{Name: a.Name, Tags: james.MustTags("v1.0.0")})
		}
		d := &james.Device{ID: id, SystemTags: r.SystemTags, Apps: r.Apps, Revision: r.Revision, Agent: r.Agent, FirstSeen: time.Unix(1e9, 0)}
		g.Go(func() error { return put(b, s.Devices(), id, d) })
		g.Go(func() error { return put(b, s.Desired(), id, wanted) })
	}
	must(b, g.Wait())
	must(b, s.Close())
	return db
}

func put[T any](b *testing.B, table store.Table[T], key string, row *T) error {
	_, _, err := table.Update(b.Context(), key, func(*T) (*T, error) { return row, nil })
	return err
}

// countCalls polls for every device once with its report and once without, and
// returns how many calls of the store these idle polls made.
func countCalls(b *testing.B, db string) int64 {
	b.Helper()
	s, err := boltstore.Open(b.Context(), filepath.Join(db, "jamesd.db"))
	must(b, err)
	counter := storetest.Count(s)
	defer counter.Close()
	log := logrus.New()
	log.SetLevel(logrus.ErrorLevel)
	f, err := fleet.New(b.Context(), fleet.Options{Store: counter, Blobs: memblob.New(), Log: log})
	must(b, err)
	before := counter.Calls()
	for i := range deviceCount {
		r := reportOf(i)
		for _, req := range []james.PollRequest{{Report: r}, {Same: r.Digest()}} {
			resp, err := f.Poll(b.Context(), deviceID(i), req)
			must(b, err)
			if resp.Plan != nil || resp.Resend {
				b.Fatalf("the poll of %s is not idle: %+v", deviceID(i), resp)
			}
		}
	}
	return counter.Calls() - before
}
