package server

import (
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/limit"
	"github.com/trusch/jamesd/internal/throttle"
	"github.com/trusch/jamesd/pkg/james"
)

// limits are the settings of what devices may take of jamesd; 0 is no limit.
type limits struct {
	maxConnections, deviceConnections int
	deviceRequests, maxRequests       int
	maxConcurrent                     int
	deviceBodies, maxBodies           size
	deviceTransfers, maxTransfers     int
	deviceRate, maxRate               size
}

// defaultLimits returns what a fleet of 10,000 never meets. A device that behaves has three
// connections, a few requests a second, and bodies that are not counted; all of a fleet may
// come at once with a request each. How fast a link is, only its operator knows.
func defaultLimits() limits {
	return limits{
		deviceConnections: 32,
		deviceRequests:    50, maxRequests: 100_000,
		maxConcurrent: 20_000,
		deviceBodies:  16 << 20, maxBodies: 256 << 20,
		deviceTransfers: 4, maxTransfers: 20_000,
	}
}

func (l *limits) register(fs *pflag.FlagSet) {
	fs.IntVar(&l.maxConnections, "max-connections", l.maxConnections, "most connections at a time; 0 for what the open files of the process allow")
	fs.IntVar(&l.deviceConnections, "device-connections", l.deviceConnections, "most connections of a device, of which the oldest goes; 0 for no limit")
	fs.IntVar(&l.deviceRequests, "device-requests", l.deviceRequests, "most requests a second of a device, of which those of 20 seconds may come at once; 0 for no limit")
	fs.IntVar(&l.maxRequests, "max-requests", l.maxRequests, "most requests a second of all devices, likewise; 0 for no limit")
	fs.IntVar(&l.maxConcurrent, "max-concurrent", l.maxConcurrent, "most requests of devices that are worked on at a time, without polls that are held and what is being sent; 0 for no limit")
	fs.Var(&l.deviceBodies, "device-bodies", "most bytes that the requests of a device bring at a time, such as 16MiB, of each what is beyond 64KiB; 0 for no limit")
	fs.Var(&l.maxBodies, "max-bodies", "most bytes that the requests of all devices bring at a time, likewise; 0 for no limit")
	fs.IntVar(&l.deviceTransfers, "device-transfers", l.deviceTransfers, "most archives and streams that a device is sent at a time; 0 for no limit")
	fs.IntVar(&l.maxTransfers, "max-transfers", l.maxTransfers, "most archives and streams that all devices are sent at a time; 0 for no limit")
	fs.Var(&l.deviceRate, "device-rate", "most bytes a second of packets that a device is sent, such as 200kB; 0 for no limit")
	fs.Var(&l.maxRate, "max-rate", "most bytes a second of packets that are sent to all, devices, site caches and admins; 0 for no limit")
}

// check fails with KindInvalid for limits that cannot be meant.
func (l *limits) check() error {
	for _, n := range []struct {
		flag  string
		value int
	}{
		{"max-connections", l.maxConnections}, {"device-connections", l.deviceConnections}, {"device-requests", l.deviceRequests}, {"max-requests", l.maxRequests},
		{"max-concurrent", l.maxConcurrent}, {"device-transfers", l.deviceTransfers}, {"max-transfers", l.maxTransfers},
	} {
		if n.value < 0 {
			return james.Errorf(james.KindInvalid, "--"+n.flag, "%d is negative", n.value)
		}
	}
	for _, s := range []struct {
		flag  string
		value size
		least int64
		unit  string
	}{
		{"device-bodies", l.deviceBodies, api.MaxBody, ""}, {"max-bodies", l.maxBodies, api.MaxBody, ""},
		{"device-rate", l.deviceRate, throttle.Least, " a second"}, {"max-rate", l.maxRate, throttle.Least, " a second"},
	} {
		if s.value != 0 && int64(s.value) < s.least {
			return james.Errorf(james.KindInvalid, "--"+s.flag, "%s%s is less than %d bytes, with which nobody gets anywhere", s.value.String(), s.unit, s.least)
		}
	}
	return nil
}

// table returns what holds devices to the limits.
func (l *limits) table() *limit.Table {
	return limit.New(limit.Options{
		DeviceRequests: l.deviceRequests, Requests: l.maxRequests, Concurrent: l.maxConcurrent,
		DeviceBodies: int64(l.deviceBodies), Bodies: int64(l.maxBodies),
		DeviceTransfers: l.deviceTransfers, Transfers: l.maxTransfers,
		DeviceRate: int64(l.deviceRate), Rate: int64(l.maxRate),
	})
}
