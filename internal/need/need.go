// Package need says what becomes of a test on a machine that lacks what the test
// needs: it is skipped, or it fails where the machine was said to have that. So a
// run of all tests that is to mean something cannot leave them out unseen.
package need

import (
	"os"
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
	Tools     Thing = "TOOLS"     // the compressors and dpkg-deb
)

// Lack ends the test, which lacks what; format says how that showed.
func Lack(t testing.TB, what Thing, format string, args ...any) {
	t.Helper()
	if name := "JAMES_TEST_REQUIRE_" + string(what); os.Getenv(name) != "" {
		t.Fatalf(format+"; "+name+" forbids to skip", args...)
	}
	t.Skipf(format, args...)
}

// Superuser ends the test where it is not run by the superuser.
func Superuser(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		Lack(t, Root, "needs the superuser")
	}
}
