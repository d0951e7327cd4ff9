package inventory

import (
	"path"
	"regexp"
	"strings"
)

var (
	// GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.
	glibcBanner = regexp.MustCompile(`GNU C Library [^\n\x00]{0,200}? version (\d+\.\d+)`)
	glibcFile   = regexp.MustCompile(`^libc-(\d+\.\d+)(\.\d+)?\.so$`)
	// The constant __libc_version, a string of its own.
	muslVersion = regexp.MustCompile(`\x00(\d\.\d{1,3})\.\d{1,3}(?:-git[^\x00]{0,60})?\x00`)
)

// maxLibc bounds what is read of a C library; real ones have 0.6 to 2 MB.
const maxLibc = 16 << 20

// libc returns the C library that the system's programs are linked with. GNU's
// comes first as Debian can have musl beside it; the look-alikes that Alpine
// has for foreign programs are musl and say nothing of GNU.
func libc(t tree) string {
	for _, dir := range libDirs(t) {
		if v := glibcVersion(t, path.Join(dir, "libc.so.6")); v != "" {
			return "glibc-" + v
		}
	}
	for _, name := range t.list("lib") {
		if strings.HasPrefix(name, "ld-musl-") && strings.HasSuffix(name, ".so.1") {
			if v := t.search(path.Join("lib", name), maxLibc, muslVersion); v != "" {
				return "musl-" + v
			}
		}
	}
	return ""
}

// glibcVersion returns the version of the library of that name: older releases
// have it in the name of the file, and all in a banner in it.
func glibcVersion(t tree, name string) string {
	if m := glibcFile.FindStringSubmatch(path.Base(t.link(name))); m != nil {
		return m[1]
	}
	return t.search(name, maxLibc, glibcBanner)
}

// libDirs returns the directories that can hold libc.so.6, those of multiarch
// systems (lib/x86_64-linux-gnu) included.
func libDirs(t tree) []string {
	dirs := []string{"lib64", "lib", "usr/lib64", "usr/lib"}
	for _, parent := range []string{"lib", "usr/lib"} {
		for _, name := range t.list(parent) {
			if strings.Contains(name, "-linux-gnu") {
				dirs = append(dirs, path.Join(parent, name))
			}
		}
	}
	return dirs
}
