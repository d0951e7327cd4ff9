package fleet

import (
	"cmp"
	"crypto/sha256"
	"slices"

	"github.com/trusch/jamesd/pkg/james"
)

// Need is what devices that have the same installed have to do.
type Need struct {
	// Plan and Installed are shared and must not be changed.
	Plan      *james.Plan
	Installed []james.App
	// Devices counts the devices, Waiting those of them that were handed the plan.
	Devices, Waiting int
}

// Needs returns what the devices have to do whose plans have steps: those first
// for which a device waits, and then those of the most devices.
func (f *Fleet) Needs() []Need {
	type key [sha256.Size]byte
	needs := make(map[key]*Need)
	f.each(func(d *device) {
		plan := f.cat.planOf(d)
		if d.reported == nil || len(plan.Steps) == 0 {
			return
		}
		h := sha256.New()
		h.Write(plan.ID[:])
		for _, app := range d.reported.Apps {
			h.Write(app.Digest[:])
		}
		k := key(h.Sum(nil))
		n := needs[k]
		if n == nil {
			n = &Need{Plan: plan, Installed: d.reported.Apps}
			needs[k] = n
		}
		n.Devices++
		if d.handed == plan.ID {
			n.Waiting++
		}
	})
	out := make([]Need, 0, len(needs))
	for _, n := range needs {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b Need) int {
		return cmp.Or(cmp.Compare(min(1, b.Waiting), min(1, a.Waiting)), cmp.Compare(b.Devices, a.Devices), slices.Compare(a.Plan.ID[:], b.Plan.ID[:]))
	})
	return out
}

// Succession is a packet that devices have installed, and one that is likely to
// take its place.
type Succession struct {
	Old, New james.Digest
	Devices  int // that have Old
}

// Successions returns, for each packet that devices have installed and that is
// known here, the newest packet of its name that was added after it and fits the
// same systems: it has the same of the device's tags, and as many others. Nobody
// need want it yet. Those of the most devices come first.
func (f *Fleet) Successions() []Succession {
	type key struct{ old, new james.Digest }
	type onSystem struct {
		old    james.Digest
		system string
	}
	count := make(map[key]int)
	found := make(map[onSystem]*james.Packet) // the same for many devices
	f.each(func(d *device) {
		if d.reported == nil {
			return
		}
		system := d.systemTags().String()
		for _, app := range d.reported.Apps {
			old := f.cat.digests[app.Digest]
			if old == nil {
				continue
			}
			next, known := found[onSystem{old.Digest, system}]
			if !known {
				next = f.cat.successor(old, d.systemTags())
				found[onSystem{old.Digest, system}] = next
			}
			if next != nil {
				count[key{old.Digest, next.Digest}]++
			}
		}
	})
	out := make([]Succession, 0, len(count))
	for k, n := range count {
		out = append(out, Succession{k.old, k.new, n})
	}
	slices.SortFunc(out, func(a, b Succession) int {
		return cmp.Or(cmp.Compare(b.Devices, a.Devices), slices.Compare(a.New[:], b.New[:]), slices.Compare(a.Old[:], b.Old[:]))
	})
	return out
}

// successor returns the newest packet that is like old on such a system, or nil.
func (c *catalogue) successor(old *james.Packet, system james.TagSet) *james.Packet {
	own := old.Tags.Minus(system)
	var found *james.Packet
	for _, p := range c.names.ByName(old.Name) {
		if p.Digest == old.Digest || !p.Added.After(old.Added) || found != nil && !p.Added.After(found.Added) {
			continue
		}
		mine := p.Tags.Minus(system)
		if mine.Len() == own.Len() && p.Tags.Minus(mine).Equal(old.Tags.Minus(own)) {
			found = p
		}
	}
	return found
}

// Known returns the packet of that digest as far as this jamesd knows, or nil, without
// asking the store. It must not be changed.
func (f *Fleet) Known(d james.Digest) *james.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cat.digests[d]
}

// Planned receives something after plans have changed or were handed out, once
// for all that happened since it was last received from. It is for one receiver.
func (f *Fleet) Planned() <-chan struct{} { return f.planned }

func (f *Fleet) nudgePlanned() {
	select {
	case f.planned <- struct{}{}:
	default:
	}
}

// hand notes that the device gets the plan; Fleet.mu is held.
func (f *Fleet) hand(d *device, plan *james.Plan) {
	if d.handed != plan.ID {
		d.handed = plan.ID
		f.nudgePlanned()
	}
}

// MayOrder fails with james.KindDenied where one of the packets of which a device
// wants contents is neither installed on it nor about to be. It removes those of
// req.Have that are not installed, leaving zero digests in their places.
func (f *Fleet) MayOrder(id string, req *james.BlobsRequest) error {
	for _, w := range req.Packets {
		if err := f.MayFetch(id, w.Packet); err != nil {
			return err
		}
	}
	installed := make(map[james.Digest]bool)
	f.mu.Lock()
	if d := f.cat.devices[id]; d != nil && d.reported != nil {
		for _, app := range d.reported.Apps {
			installed[app.Digest] = true
		}
	}
	f.mu.Unlock()
	for i, have := range req.Have {
		if !installed[have] {
			req.Have[i] = james.Digest{}
		}
	}
	return nil
}
