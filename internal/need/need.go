// Package need says what becomes of a test on a machine that lacks what the test
// needs: it is skipped, or it fails where the machine was said to have that. So a
// run of all tests that is to mean something cannot leave them out unseen.
package need

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Thing is what a machine may lack. JAMES_TEST_REQUIRE_ with its name after it is
// the environment variable that, when it is not empty, makes a test that lacks it
// fail.
type Thing string

// The things.
const (
	Root      Thing = "ROOT"      // to be the superuser
	Mounts    Thing = "MOUNTS"    // to mount file systems
	Xattrs    Thing = "XATTRS"    // extended attributes where temporary files are
	Cgroups   Thing = "CGROUPS"   // to make cgroups of version 2
	Terminals Thing = "TERMINALS" // pseudo-terminals
	Tools     Thing = "TOOLS"     // programs that others use for the same: compressors, openssl, dpkg-deb
	Published Thing = "PUBLISHED" // packages of Debian in a directory beside the repository
	MongoDB   Thing = "MONGODB"   // a MongoDB server, or what it takes to build one
	QEMU      Thing = "QEMU"      // emulators of other processors
)

func (t Thing) variable() string { return "JAMES_TEST_REQUIRE_" + string(t) }

// Required reports whether the machine was said to have it.
func (t Thing) Required() bool { return os.Getenv(t.variable()) != "" }

// Lack ends the test, which lacks what; format says how that showed.
func Lack(t testing.TB, what Thing, format string, args ...any) {
	t.Helper()
	if what.Required() {
		t.Fatalf(format+"; "+what.variable()+" forbids to skip", args...)
	}
	t.Skipf(format, args...)
}

// Tool returns the path of a program, without which the test ends.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		Lack(t, Tools, "%s is not installed", name)
	}
	return path
}

// Packages returns the packages of Debian, .deb files as published, that lie in a
// directory beside the repository. Without any the test ends. It is for packages
// whose directory is the second below the repository's.
func Packages(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../../../shared/realdata/*.deb")
	if err != nil || len(files) == 0 {
		Lack(t, Published, "no published packages are here")
	}
	return files
}

// Superuser ends the test where it is not run by the superuser.
func Superuser(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lack(t, Root, "needs the superuser")
	}
}
