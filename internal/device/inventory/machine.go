package inventory

import (
	"bytes"
	"runtime"
	"runtime/debug"
	"strings"

	"golang.org/x/sys/unix"
)

// machine returns the architecture as "uname -m" names it, for the programs
// that run beside this one.
//
// A 64-bit kernel with a 32-bit userland, common on boards, still says aarch64
// or x86_64, and a packet chosen by that name would not start. The build of
// jamesc that somebody put on the device is the better witness: a 32-bit one
// means a 32-bit userland, of which it then names the machine.
func (h Host) machine() string {
	kernel, arch, variant := h.Machine, h.Arch, h.Variant
	if kernel == "" {
		kernel = uname()
	}
	if arch == "" {
		arch, variant = runtime.GOARCH, buildSetting("GOARM")
	}
	switch {
	case arch == "arm" && (kernel == "aarch64" || kernel == "armv8l"):
		return arm32(variant)
	case arch == "386" && kernel == "x86_64":
		return "i686"
	case (arch == "mips" || arch == "mipsle") && kernel == "mips64":
		return "mips"
	}
	return kernel
}

// arm32 returns the 32-bit machine of a GOARM such as "7" or "6,softfloat". An
// unknown one is that of Go's default.
func arm32(goarm string) string {
	version, _, _ := strings.Cut(goarm, ",")
	switch version {
	case "5":
		return "armv5tel"
	case "6":
		return "armv6l"
	}
	return "armv7l"
}

// uname returns the machine that the kernel reports, which under qemu-user is
// the emulated one.
func uname() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return ""
	}
	name, _, _ := bytes.Cut(u.Machine[:], []byte{0})
	return string(name)
}

func buildSetting(key string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
