package fleet

import (
	"slices"
	"time"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/pkg/james"
)

// device is what is known of one device. It is guarded by Fleet.mu.
type device struct {
	id       string
	reported *james.Device  // nil for a device that has never polled
	desired  *james.Desired // nil for one that never had a desired state
	digest   james.Digest   // of what it reported; zero where it is to be computed
	seen     time.Time      // when it last polled
	heard    uint64         // follower.begun when it last said something new here
	plan     *james.Plan    // nil where it is to be computed
	handed   james.Digest   // ID of the plan that it was handed last
	held     *Held          // the poll that is held; nil where there is none
	// progress is what the device told last, here, of a plan; nil where it has not.
	progress *james.Progress
}

// wanted returns the apps of the desired state.
func (d *device) wanted() []james.App {
	if d.desired == nil || d.desired.Unset {
		return nil
	}
	return d.desired.Apps
}

// managed reports whether somebody wants something of the device, which may be
// that it has nothing installed.
func (d *device) managed() bool { return d.desired != nil && !d.desired.Unset }

// changed drops the plan and lets the held poll look again.
func (d *device) changed() {
	d.plan = nil
	d.nudge()
}

// damaged reports whether files of packets are not as they should be on the device,
// edited configuration aside.
func (d *device) damaged() bool {
	return d.reported != nil && d.reported.Drift != nil && d.reported.Drift.Damaged > 0
}

// systemTags returns the tags that the device reported.
func (d *device) systemTags() james.TagSet {
	if d.reported == nil {
		return james.TagSet{}
	}
	return d.reported.SystemTags
}

// planOf returns what the device has to do. It is kept until something that it
// depends on changes: the report, the desired state, or a packet of a name that
// the desired state has.
func (c *catalogue) planOf(d *device) *james.Plan {
	if d.plan == nil {
		var installed []james.App
		if d.reported != nil {
			installed = d.reported.Apps
		}
		start := time.Now()
		plan := resolve.Plan(&c.names, installed, d.desired, d.systemTags())
		d.plan = &plan
		c.resolved(time.Since(start))
	}
	return d.plan
}

// reportDigest returns the digest by which the device may refer to its report.
func (d *device) reportDigest() james.Digest {
	if d.digest.IsZero() {
		r := reportOf(d.reported)
		d.digest = r.Digest()
	}
	return d.digest
}

// reportOf returns the part of the row that a device reports in a poll.
func reportOf(d *james.Device) *james.DeviceReport {
	return &james.DeviceReport{SystemTags: d.SystemTags, Apps: d.Apps, Revision: d.Revision, Agent: d.Agent, Drift: d.Drift, Waiting: d.Waiting}
}

// sameReport reports whether the row has the content of r.
func sameReport(d *james.Device, r *james.DeviceReport) bool {
	return d.Revision == r.Revision && d.Agent == r.Agent && d.SystemTags.Equal(r.SystemTags) &&
		sameApps(d.Apps, r.Apps) && d.Drift.Equal(r.Drift) && d.Waiting.Equal(r.Waiting)
}

func sameApps(a, b []james.App) bool {
	return slices.EqualFunc(a, b, func(a, b james.App) bool {
		return a.Name == b.Name && a.Digest == b.Digest && a.Tags.Equal(b.Tags)
	})
}
