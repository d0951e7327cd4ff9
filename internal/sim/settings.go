package sim

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

const envPrefix = "JAMESD_SIM"

// settings are those of jamesd-sim.
type settings struct {
	addr, ca, caKey, serverName string

	devices  int
	prefix   string
	tags     []string
	apps     []string
	duration time.Duration
	boot     time.Duration

	mode      string
	interval  time.Duration
	hold      time.Duration
	keepAlive time.Duration
	timeout   time.Duration

	wants       []string
	changeEvery time.Duration
	changeAll   time.Duration
	download    string
	applyTime   time.Duration
	retryFirst  time.Duration

	stormEvery            time.Duration
	fail, slow            share
	slowRate              config.Size
	flood, stall, garbage share

	output string
}

// The values of --mode, --download and --output.
const (
	modeHold = "hold"
	modePoll = "poll"

	downloadNone    = "none"
	downloadArchive = "archive"
	downloadBlobs   = "blobs"

	outputTable = "table"
	outputJSON  = "json"
)

func defaults() *settings {
	return &settings{
		addr: "localhost:2761", devices: 100, prefix: "sim", duration: 20 * time.Second,
		mode: modeHold, hold: james.MaxWait, keepAlive: 150 * time.Second, timeout: 30 * time.Second,
		download: downloadNone, retryFirst: time.Minute, slowRate: 10_000, output: outputTable,
	}
}

func (s *settings) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&s.addr, "addr", s.addr, "the jamesd, as `HOST:PORT`")
	fs.StringVar(&s.ca, "ca", "", "certificate `file` of the authority that devices are known by and the server's is from")
	fs.StringVar(&s.caKey, "ca-key", "", "key `file` of the authority")
	fs.StringVar(&s.serverName, "server-name", "", "`name` that the server's certificate must be good for; the host of --addr where not given")

	fs.IntVar(&s.devices, "devices", s.devices, "how many devices")
	fs.StringVar(&s.prefix, "prefix", s.prefix, "what their ids begin with, as in PREFIX-00001")
	fs.StringArrayVar(&s.tags, "system-tags", []string{"sim"}, "their system tags, as TAG,TAG; given several times, the devices take turns")
	fs.StringArrayVar(&s.apps, "apps", nil, "`apps` that they say are installed when they come; given several times, they take turns")
	fs.DurationVar(&s.duration, "duration", s.duration, "how long to simulate, from the first device on; 0 until a signal ends it")
	fs.DurationVar(&s.boot, "boot", 0, "time over which the devices come; 0 has all of them come at once")

	fs.StringVar(&s.mode, "mode", s.mode, "hold has polls held by the server, poll wants an answer at once")
	fs.DurationVar(&s.interval, "interval", 0, "time between two polls, spread by 10 %; 0 leaves it to the server, as jamesc does")
	fs.DurationVar(&s.hold, "hold", s.hold, "how long a poll may be held, at most the time between two polls")
	fs.DurationVar(&s.keepAlive, "keep-alive", s.keepAlive, "how long a connection may be idle before the device closes it; 0 closes it after each answer, so that there can be more devices than open files")
	fs.DurationVar(&s.timeout, "timeout", s.timeout, "how long the server may take for an answer beyond the time that it holds a poll; for a handshake 15 s of that at most, as with jamesc")

	fs.StringArrayVar(&s.wants, "want", nil, "`apps` that an admin wants on every device, set before the devices come; given several times, they are what --change-every and --change-all-every take turns with")
	fs.DurationVar(&s.changeEvery, "change-every", 0, "time between two changes of the desired state of one device; with one --want, its turns are with no apps at all")
	fs.DurationVar(&s.changeAll, "change-all-every", 0, "time between two changes of the desired states of all devices, likewise")
	fs.StringVar(&s.download, "download", s.download, "what a device downloads and throws away for a plan: none, archive or blobs, with the manifest")
	fs.DurationVar(&s.applyTime, "apply-time", 0, "how long a device takes to carry out a plan when it has it all, spread by 10 %")
	fs.DurationVar(&s.retryFirst, "retry-first", s.retryFirst, "time after which a plan that failed is tried again; it doubles with every try")

	fs.DurationVar(&s.stormEvery, "storm-every", 0, "time between two storms, in which all connections are reset at once")
	fs.Var(&s.fail, "fail", "`share` of devices on which every plan fails and is rolled back")
	fs.Var(&s.slow, "slow", "`share` of devices that read slowly")
	fs.Var(&s.slowRate, "slow-rate", "bytes a second that those read, such as 10kB")
	fs.Var(&s.flood, "flood", "`share` of devices that poll without a pause")
	fs.Var(&s.stall, "stall", "`share` of devices that stop in the middle of a request")
	fs.Var(&s.garbage, "garbage", "`share` of devices that send what is no request of a device")

	fs.StringVarP(&s.output, "output", "o", s.output, "how to print what was measured: table or json")
	fs.String("config", "", "settings `file` in YAML")
}

// check fails with KindInvalid for settings that cannot be meant.
func (s *settings) check() error {
	if host, port, err := net.SplitHostPort(s.addr); err != nil || host == "" || port == "" {
		return james.Errorf(james.KindInvalid, "--addr", "%q is not HOST:PORT", s.addr)
	}
	if s.ca == "" || s.caKey == "" {
		return james.Errorf(james.KindInvalid, "", "--ca and --ca-key are needed").
			WithHint("They are ca.crt and ca.key, which \"jamesd-ctl pki init\" makes.")
	}
	if s.devices < 1 || s.devices > maxDevices {
		return james.Errorf(james.KindInvalid, "--devices", "%d is not from 1 to %d", s.devices, maxDevices)
	}
	if err := james.CheckDeviceID(s.id(s.devices - 1)); err != nil {
		return james.Errorf(james.KindInvalid, "--prefix", "%w", err)
	}
	if err := s.checkWords(); err != nil {
		return err
	}
	if err := s.checkTimes(); err != nil {
		return err
	}
	return s.checkShares()
}

// maxDevices bounds what one process simulates.
const maxDevices = 1_000_000

func (s *settings) checkWords() error {
	for _, w := range []struct {
		flag, value string
		known       []string
	}{
		{"mode", s.mode, []string{modeHold, modePoll}},
		{"download", s.download, []string{downloadNone, downloadArchive, downloadBlobs}},
		{"output", s.output, []string{outputTable, outputJSON}},
	} {
		if !slices.Contains(w.known, w.value) {
			return james.Errorf(james.KindInvalid, "--"+w.flag, "%q is none of %s", w.value, list(w.known))
		}
	}
	return nil
}

func (s *settings) checkTimes() error {
	for _, t := range []struct {
		flag  string
		value time.Duration
		least time.Duration
	}{
		{"duration", s.duration, 0}, {"boot", s.boot, 0}, {"interval", s.interval, 0}, {"hold", s.hold, 0}, {"keep-alive", s.keepAlive, 0},
		{"change-every", s.changeEvery, 0}, {"change-all-every", s.changeAll, 0}, {"apply-time", s.applyTime, 0}, {"storm-every", s.stormEvery, 0},
		{"timeout", s.timeout, time.Millisecond}, {"retry-first", s.retryFirst, time.Millisecond},
	} {
		if t.value < t.least {
			return james.Errorf(james.KindInvalid, "--"+t.flag, "%s is less than %s", t.value, t.least)
		}
	}
	switch {
	case s.slowRate < 1:
		return james.Errorf(james.KindInvalid, "--slow-rate", "must be at least 1 byte a second")
	case s.duration > 0 && s.boot > s.duration:
		return james.Errorf(james.KindInvalid, "--boot", "%s is longer than --duration, %s", s.boot, s.duration)
	case (s.changeEvery > 0 || s.changeAll > 0) && len(s.wants) == 0:
		return james.Errorf(james.KindInvalid, "--change-every", "there is nothing to change to").
			WithHint("Say with --want which apps are wanted.")
	}
	return nil
}

func (s *settings) checkShares() error {
	sum := 0
	for _, p := range []*share{&s.fail, &s.slow, &s.flood, &s.stall, &s.garbage} {
		sum += p.of(s.devices)
	}
	if sum > s.devices {
		return james.Errorf(james.KindInvalid, "", "--fail, --slow, --flood, --stall and --garbage are %d devices together, there are %d", sum, s.devices)
	}
	return nil
}

// id returns the id of a device, from 0 on.
func (s *settings) id(i int) string { return fmt.Sprintf("%s-%05d", s.prefix, i+1) }

// wrongFlag words what pflag found wrong.
func wrongFlag(err error) error {
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return james.Errorf(james.KindInvalid, "--"+invalid.GetFlag().Name, "%w",
			config.Refusal(invalid.GetFlag(), invalid.GetValue(), errors.Unwrap(invalid)))
	}
	return james.Errorf(james.KindInvalid, "", "%w", err).WithHint("jamesd-sim --help lists the flags.")
}
