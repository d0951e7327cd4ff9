package fleet

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// catalogue is the rows of a store in memory, with the indexes that plans need.
// It is guarded by Fleet.mu. The packets, rows and plans that it points to are
// never changed, so they may be used without it.
type catalogue struct {
	packets map[string]*james.Packet // by store.PacketKey
	digests map[james.Digest]*james.Packet
	names   resolve.Catalogue // the same packets
	// dropped counts packets that went, or changed: their blobs may be unused.
	dropped uint64
	devices map[string]*device // that polled or have a desired state
	// wanting holds the devices whose desired state has an app of a name.
	wanting  map[string]map[*device]struct{}
	versions map[row]version
	shared   shared
	resolved func(time.Duration) // is told how long computing a plan took
}

// row names a row of the store.
type row struct {
	table store.TableName
	key   string
}

// version is the newest content of a row that was applied.
type version struct {
	seq  uint64
	gone time.Time // when a deletion was applied; zero for a row that is there
}

func newCatalogue(resolved func(time.Duration)) *catalogue {
	return &catalogue{
		resolved: resolved,
		packets:  make(map[string]*james.Packet),
		digests:  make(map[james.Digest]*james.Packet),
		devices:  make(map[string]*device),
		wanting:  make(map[string]map[*device]struct{}),
		versions: make(map[row]version),
		shared:   newShared(),
	}
}

// apply takes over the change unless it is older than what is known.
func (c *catalogue) apply(ch store.Change, now time.Time) {
	r := row{ch.Table, ch.Key}
	if known, ok := c.versions[r]; ok && ch.Seq <= known.seq {
		return
	}
	v := version{seq: ch.Seq}
	if ch.Packet == nil && ch.Device == nil && ch.Desired == nil {
		v.gone = now
	}
	c.versions[r] = v
	switch ch.Table {
	case store.TablePackets:
		c.setPacket(ch.Key, ch.Packet)
	case store.TableDevices:
		c.setReported(ch.Key, ch.Device)
	case store.TableDesired:
		c.setDesired(ch.Key, ch.Desired)
	}
}

// forget drops the versions of rows that were deleted before that time, when no
// call that may still return an older content of them can be under way.
func (c *catalogue) forget(before time.Time) {
	maps.DeleteFunc(c.versions, func(_ row, v version) bool { return !v.gone.IsZero() && v.gone.Before(before) })
}

// setPacket puts p, or nothing, in the place of the packet of that key.
func (c *catalogue) setPacket(key string, p *james.Packet) {
	name := ""
	if old := c.packets[key]; old != nil {
		name = old.Name
		delete(c.packets, key)
		delete(c.digests, old.Digest)
		c.dropped++
		c.names.Remove(old)
	}
	if p != nil {
		name = p.Name
		c.packets[key] = p
		c.digests[p.Digest] = p
		c.names.Add(p)
	}
	for d := range c.wanting[name] {
		d.changed()
	}
}

// setReported takes over what a device reported, nil for a device that was
// deleted.
func (c *catalogue) setReported(id string, reported *james.Device) {
	d := c.device(id)
	old := d.reported
	d.reported = c.compact(reported)
	if old == nil || reported == nil || !sameEnd(old.Report, reported.Report) || newlyWaits(old, reported) {
		d.progress = nil
	}
	if old == nil || reported == nil || !sameReport(old, reportOf(reported)) {
		d.digest = james.Digest{}
		d.changed()
	}
	c.dropUnused(d)
}

// setDesired takes over a device's desired state, nil for one that is gone.
func (c *catalogue) setDesired(id string, desired *james.Desired) {
	d := c.device(id)
	for _, app := range d.wanted() {
		delete(c.wanting[app.Name], d)
		if len(c.wanting[app.Name]) == 0 {
			delete(c.wanting, app.Name)
		}
	}
	d.desired = nil
	if desired != nil {
		now := *desired
		now.History = nil // much, and seldom asked for
		now.Apps = c.shared.list(now.Apps)
		d.desired = &now
	}
	for _, app := range d.wanted() {
		if c.wanting[app.Name] == nil {
			c.wanting[app.Name] = make(map[*device]struct{})
		}
		c.wanting[app.Name][d] = struct{}{}
	}
	d.changed()
	c.dropUnused(d)
}

// device returns the entry of that id, a new one if need be.
func (c *catalogue) device(id string) *device {
	d := c.devices[id]
	if d == nil {
		d = &device{id: id}
		c.devices[id] = d
	}
	return d
}

func (c *catalogue) dropUnused(d *device) {
	if d.reported == nil && d.desired == nil {
		delete(c.devices, d.id)
	}
}

// compact returns the row with as little memory of its own as possible: without
// the output of scripts, and sharing what other devices have alike.
func (c *catalogue) compact(reported *james.Device) *james.Device {
	if reported == nil {
		return nil
	}
	out := *reported
	if out.Report != nil {
		report := *out.Report
		report.Output = ""
		out.Report = &report
	}
	out.Apps = c.shared.list(out.Apps)
	out.SystemTags = c.shared.set(out.SystemTags)
	return &out
}

// sorted returns all packets by name and tags.
func (c *catalogue) sorted() []james.Packet {
	out := make([]james.Packet, 0, len(c.packets))
	for _, p := range c.packets {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b james.Packet) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Tags.String(), b.Tags.String()))
	})
	return out
}
