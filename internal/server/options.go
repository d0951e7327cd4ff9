package server

import (
	"net"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/pkg/james"
)

// minCache is the least room that the cache must have, in bytes: with less hardly
// any stream could be kept.
const minCache = 1 << 20

const configFile = "/etc/jamesd/jamesd.yaml"

type size = config.Size

// options are the settings of jamesd.
type options struct {
	addr          string
	db            string
	cacheDir      string
	cacheSize     size
	ca, cert, key string
	admins        []string
	cacheOf       string

	metricsAddr   string
	metricsRemote bool
	pprofRemote   bool

	pollInterval    time.Duration
	pollIntervalOf  []string
	shutdownTimeout time.Duration

	limits limits

	maxArchive    size
	maxPacketSize size
	allowDevices  bool

	logLevel, logFormat string
}

func defaults() *options {
	archives := archive.DefaultLimits()
	return &options{
		addr:            ":2761",
		db:              "/var/lib/jamesd",
		cacheSize:       2 << 30,
		ca:              "/etc/jamesd/ca.crt",
		cert:            "/etc/jamesd/server.crt",
		key:             "/etc/jamesd/server.key",
		metricsAddr:     "127.0.0.1:2762",
		pollInterval:    30 * time.Second,
		shutdownTimeout: 30 * time.Second,
		limits:          defaultLimits(),
		maxArchive:      size(archives.MaxArchive),
		maxPacketSize:   size(archives.MaxSize),
		logLevel:        "info",
		logFormat:       "text",
	}
}

func (o *options) register(fs *pflag.FlagSet) {
	fs.SortFlags = false
	fs.StringVar(&o.addr, "addr", o.addr, "`address` to listen on for devices and admins; port 0 takes a free one, the log says which")
	fs.StringVar(&o.db, "db", o.db, "where packets and states are kept: a `directory`, or a database as mongodb://HOST/NAME")
	fs.StringVar(&o.cacheDir, "cache-dir", o.cacheDir, "`directory` for what can be made again, streams and patches; by default cache in the directory of --db, and for a database one below the cache directory of the user or of the machine")
	fs.Var(&o.cacheSize, "cache-size", "most that --cache-dir may take, such as 500MiB; what was not used for longest goes first")
	fs.StringVar(&o.cacheOf, "cache-of", o.cacheOf, "be the cache of a site: `URL` of the jamesd whose manifests, archives and contents it keeps, such as https://jamesd.example.org:2761")
	fs.StringVar(&o.ca, "ca", o.ca, "certificate `file` of the authority that devices and admins are known by")
	fs.StringVar(&o.cert, "cert", o.cert, "certificate `file` of this server")
	fs.StringVar(&o.key, "key", o.key, "key `file` of this server's certificate")
	fs.StringSliceVar(&o.admins, "admins", o.admins, "common `names` of certificates that are admins although they lack the organisation jamesd:admin")
	fs.String("config", configFile, "settings `file`; the standard one may be absent")
	fs.StringVar(&o.metricsAddr, "metrics-addr", o.metricsAddr, "loopback `address` for /healthz, /readyz, /metrics and /debug/pprof/, without TLS; empty for none")
	fs.BoolVar(&o.metricsRemote, "metrics-remote", o.metricsRemote, "let --metrics-addr be an address that other machines reach: whoever reaches it can read the metrics; without /debug/pprof/")
	fs.BoolVar(&o.pprofRemote, "pprof-remote", o.pprofRemote, "serve /debug/pprof/ at such an address, too: whoever reaches it can look into the process, and slow it down")
	fs.DurationVar(&o.pollInterval, "poll-interval", o.pollInterval, "how long devices wait between polls, whose turns are even over that time")
	fs.StringSliceVar(&o.pollIntervalOf, "poll-interval-of", o.pollIntervalOf, "how long devices with a tag wait between polls, as `TAG=DURATION`, several separated by commas; of a device's tags the longest time counts")
	o.limits.register(fs)
	fs.DurationVar(&o.shutdownTimeout, "shutdown-timeout", o.shutdownTimeout, "how long transfers may go on after a signal to end")
	fs.Var(&o.maxArchive, "max-archive", "largest archive that can be uploaded, such as 500MiB")
	fs.Var(&o.maxPacketSize, "max-packet-size", "largest sum of the sizes of a packet's files, such as 2GiB")
	fs.BoolVar(&o.allowDevices, "allow-devices", o.allowDevices, "accept packets that contain device nodes and fifos")
	fs.StringVar(&o.logLevel, "log-level", o.logLevel, "debug, info, warn or error; debug logs every poll")
	fs.StringVar(&o.logFormat, "log-format", o.logFormat, "text or json")
}

// check fails with KindInvalid for settings that cannot be meant.
func (o *options) check() error {
	if err := checkAddr("addr", o.addr); err != nil {
		return err
	}
	if o.metricsAddr != "" {
		if err := checkAddr("metrics-addr", o.metricsAddr); err != nil {
			return err
		}
	}
	if o.pprofRemote && (o.metricsAddr == "" || !o.metricsRemote) {
		return james.Errorf(james.KindInvalid, "--pprof-remote", "means nothing without --metrics-remote and an address").
			WithHint("At a loopback address /debug/pprof/ is there without it.")
	}
	for _, name := range o.admins {
		if strings.TrimSpace(name) == "" {
			return james.Errorf(james.KindInvalid, "--admins", "one of the names is empty")
		}
	}
	if _, err := o.pollIntervals(); err != nil {
		return err
	}
	if err := o.limits.check(); err != nil {
		return err
	}
	switch {
	case !sane(o.pollInterval):
		return james.Errorf(james.KindInvalid, "--poll-interval", "%s is not between 1s and 24h", o.pollInterval)
	case o.shutdownTimeout < 0:
		return james.Errorf(james.KindInvalid, "--shutdown-timeout", "%s is negative", o.shutdownTimeout)
	case o.cacheSize < minCache:
		return james.Errorf(james.KindInvalid, "--cache-size", "must be at least 1MiB")
	case o.maxArchive <= 0:
		return james.Errorf(james.KindInvalid, "--max-archive", "must be at least 1 byte")
	case o.maxPacketSize <= 0:
		return james.Errorf(james.KindInvalid, "--max-packet-size", "must be at least 1 byte")
	}
	return checkDB(o.db)
}

// sane reports whether d can be the time between two polls.
func sane(d time.Duration) bool { return time.Second <= d && d <= 24*time.Hour }

// pollIntervals returns what --poll-interval-of says.
func (o *options) pollIntervals() (map[james.Tag]time.Duration, error) {
	of := make(map[james.Tag]time.Duration, len(o.pollIntervalOf))
	for _, pair := range o.pollIntervalOf {
		at := max(0, strings.LastIndex(pair, "=")) // a tag may have one, too
		tag, text := pair[:at], strings.TrimPrefix(pair[at:], "=")
		invalid := func(format string, args ...any) error {
			return james.Errorf(james.KindInvalid, "--poll-interval-of", format, args...).
				WithHint("Give a system tag and a time, such as metered=1h.")
		}
		d, err := time.ParseDuration(text)
		switch {
		case err != nil || james.CheckTag(tag) != nil:
			return nil, invalid("%q is not TAG=DURATION", pair)
		case !sane(d):
			return nil, invalid("%q: %s is not between 1s and 24h", pair, d)
		case of[james.Tag(tag)] != 0:
			return nil, invalid("the tag %s is there twice", tag)
		}
		of[james.Tag(tag)] = d
	}
	return of, nil
}

func checkAddr(flag, addr string) error {
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return james.Errorf(james.KindInvalid, "--"+flag, "%q is not HOST:PORT or :PORT", addr)
	}
	return nil
}
