package device

import (
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/internal/device/inventory"
	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/internal/throttle"
	"github.com/trusch/jamesd/pkg/james"
)

const (
	settingsFile = "/etc/jamesc/jamesc.yaml"
	variables    = "JAMESC"
	defaultPort  = "2761"
)

// settings are those of jamesc; each is a flag, a key of the settings file and
// an environment variable.
type settings struct {
	addr, cache, ca, cert, key  string
	installRoot, stateDir       string
	systemTags                  []string
	once                        bool
	pollInterval, hold          time.Duration
	scriptTimeout, retry, limit time.Duration
	verify                      time.Duration
	probation                   time.Duration
	download, apply             james.Window
	maxRate                     config.Size
	metered                     bool
	cacheSize                   config.Size
	logLevel, logFormat         string
	file                        string
}

func (s *settings) define(fs *pflag.FlagSet) {
	fs.StringVar(&s.addr, "addr", "", "address of jamesd, HOST or HOST:PORT; the port is "+defaultPort+" where none is given")
	fs.StringVar(&s.cache, "cache", "", "address of the cache of this device's site, HOST or HOST:PORT, which is asked for packets first; jamesd is asked where it does not answer")
	fs.StringVar(&s.ca, "ca", "/etc/jamesc/ca.crt", "certificate of the authority that jamesd's certificate is from")
	fs.StringVar(&s.cert, "cert", "/etc/jamesc/device.crt", "certificate of this device; its common name is the device's id")
	fs.StringVar(&s.key, "key", "/etc/jamesc/device.key", "key of the certificate")
	fs.StringVar(&s.installRoot, "install-root", "/", "directory that packets are installed in; it is made if it does not exist")
	fs.StringVar(&s.stateDir, "state-dir", "/var/lib/jamesc", "directory for what jamesc has to remember and for downloads")
	fs.StringSliceVar(&s.systemTags, "system-tags", []string{inventory.Auto}, "exactly the system tags of this device; the word auto stands for those that jamesc tags prints")
	fs.BoolVar(&s.once, "once", false, "poll once, carry out what is to do, and end with an exit code that tells how it went")
	fs.DurationVar(&s.pollInterval, "poll-interval", 0, "time between two polls; 0 leaves it to jamesd")
	fs.DurationVar(&s.hold, "hold", james.MaxWait, "how long a poll may stay open so that a change arrives at once, at most the time between two polls; 0 for not at all")
	fs.DurationVar(&s.scriptTimeout, "script-timeout", script.DefaultTimeout, "how long a script of a packet may run")
	fs.DurationVar(&s.probation, "probation", 0, "after a change, how long jamesd may take to be reached over a fresh connection before the change is undone; 0 does not ask for it")
	s.download, s.apply = james.OpenWindow, james.OpenWindow
	fs.Var(&s.download, "download-window", "when contents may be downloaded: now, never, or times of the day such as 22:00-06:00; the desired state may say otherwise")
	fs.Var(&s.apply, "apply-window", "when a change may begin, likewise")
	fs.Var(&s.maxRate, "max-rate", "most bytes a second to download, such as 200kB; 0 for no limit")
	fs.BoolVar(&s.metered, "metered", false, "download only what is marked urgent, as the system tag "+agent.MeteredTag+" does")
	fs.DurationVar(&s.retry, "retry-first", time.Minute, "time after which a plan that failed is tried again; it doubles with every try")
	fs.DurationVar(&s.limit, "retry-limit", 6*time.Hour, "longest time after which it is tried again")
	fs.DurationVar(&s.verify, "verify-interval", time.Hour, "time between two looks whether the installed files are as their packets have them; 0 for never")
	s.cacheSize = 64 << 20
	fs.Var(&s.cacheSize, "cache-size", "how much of what was fetched for plans that failed or gave way may stay, such as 200MiB; 0 for nothing")
	fs.StringVar(&s.logLevel, "log-level", "info", "least important messages to log: debug, info, warn or error")
	fs.StringVar(&s.logFormat, "log-format", "text", "format of the log: text or json")
	fs.StringVar(&s.file, "config", settingsFile, "file with settings in YAML, by the names of these flags; the default one may be absent")
}

// load completes the settings from the environment and the file and checks them.
func (s *settings) load(cmd *cobra.Command, p config.Process) error {
	file, mustExist := config.File(cmd.Flags(), variables, settingsFile, p.Getenv)
	if err := config.Load(cmd.Flags(), variables, file, mustExist, p.Getenv); err != nil {
		return err
	}
	for _, dir := range []*string{&s.installRoot, &s.stateDir} {
		if *dir == "" {
			return james.Errorf(james.KindInvalid, "install root or state directory", "is empty")
		}
		abs, err := filepath.Abs(*dir)
		if err != nil {
			return james.Errorf(james.KindInvalid, *dir, "%w", err)
		}
		*dir = abs
	}
	for name, d := range map[string]time.Duration{"poll-interval": s.pollInterval, "hold": s.hold, "verify-interval": s.verify, "probation": s.probation} {
		if d < 0 {
			return james.Errorf(james.KindInvalid, name, "%s is less than 0", d)
		}
	}
	if s.maxRate != 0 && s.maxRate < throttle.Least {
		return james.Errorf(james.KindInvalid, "max-rate", "%s a second is less than %d bytes", s.maxRate.String(), throttle.Least)
	}
	for name, d := range map[string]time.Duration{"script-timeout": s.scriptTimeout, "retry-first": s.retry, "retry-limit": s.limit} {
		if d <= 0 {
			return james.Errorf(james.KindInvalid, name, "%s is not more than 0", d)
		}
	}
	return nil
}

// server returns the address of jamesd with its port.
func (s *settings) server() (string, error) {
	if s.addr == "" {
		return "", james.Errorf(james.KindInvalid, "addr", "the address of jamesd is not set").
			WithHint("give it with --addr HOST:%s, as JAMESC_ADDR, or as addr: HOST:%s in %s", defaultPort, defaultPort, settingsFile)
	}
	return withPort("addr", s.addr)
}

// trimBrackets returns the IPv6 address in "[::1]".
func trimBrackets(host string) string {
	if n := len(host); n > 2 && host[0] == '[' && host[n-1] == ']' {
		return host[1 : n-1]
	}
	return host
}
