package inventory

import (
	"path"
	"strings"
)

// initSystem returns what starts and supervises services. What runs now counts
// before what is installed.
func initSystem(t tree) string {
	for _, running := range []struct{ dir, name string }{
		{"run/systemd/system", "systemd"},
		{"run/openrc", "openrc"},
		{"run/runit", "runit"},
	} {
		if t.isDir(running.dir) {
			return running.name
		}
	}
	switch target := path.Base(t.link("sbin/init")); target {
	case "systemd":
		return "systemd"
	case "openrc-init":
		return "openrc"
	case "runit", "runit-init":
		return "runit"
	case "busybox":
		if t.isFile("sbin/openrc") { // Alpine: busybox starts openrc
			return "openrc"
		}
		return "busybox"
	}
	if t.isFile("sbin/init") && t.isFile("etc/inittab") {
		return "sysvinit"
	}
	return ""
}

// maxRelease bounds what is read of an os-release file, in bytes.
const maxRelease = 64 << 10

// release returns the operating system as os-release(5) names it, such as
// "debian-12", or "arch" where it has no version.
func release(t tree) string {
	text := t.read("etc/os-release", maxRelease)
	if text == "" {
		text = t.read("usr/lib/os-release", maxRelease)
	}
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[key] = strings.Trim(value, `"'`)
		}
	}
	id, version := strings.ToLower(fields["ID"]), strings.ToLower(fields["VERSION_ID"])
	if id == "" || version == "" {
		return id
	}
	return id + "-" + version
}
