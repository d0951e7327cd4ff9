package version_test

import (
	"bytes"
	"os/exec"
	"regexp"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/trusch/jamesd/internal/version"
)

func TestPrint(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	version.Print(&out, "jamesx")
	if want := regexp.MustCompile(`^jamesx commit \S+ go\S+ \w+/\w+\n$`); !want.MatchString(out.String()) {
		t.Errorf("%q does not match %s", out.String(), want)
	}
}

func TestCommitOfBuildInfo(t *testing.T) {
	t.Parallel()
	const revision = "0123456789abcdef0123456789abcdef01234567"
	set := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	for _, tc := range []struct {
		name     string
		settings []debug.BuildSetting
		want     string
	}{
		{"nothing recorded", nil, "unknown"},
		{"only changes recorded", []debug.BuildSetting{set("vcs.modified", "true")}, "unknown"},
		{"clean", []debug.BuildSetting{set("vcs.revision", revision), set("vcs.modified", "false")}, "0123456789ab"},
		{"with changes", []debug.BuildSetting{set("vcs.revision", revision), set("vcs.modified", "true")}, "0123456789ab+dirty"},
		{"short", []debug.BuildSetting{set("vcs.revision", "abc")}, "abc"},
	} {
		if got := version.FromBuildInfo(tc.settings); got != tc.want {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// TestLinkedCommit builds a program the way a release is built, as only the
// linker can set the commit.
func TestLinkedCommit(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), "go", "run",
		"-ldflags", "-X github.com/trusch/jamesd/internal/version.commit=abc123", "./testdata/jamesx")
	out, err := cmd.CombinedOutput()
	want := "jamesx commit abc123 " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH + "\n"
	if err != nil || string(out) != want {
		t.Errorf("%q, %v; want %q", out, err, want)
	}
}
