// Package version says which build a program is. It knows nothing but what the
// linker and the Go toolchain recorded.
package version

import (
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
)

// commit is set by -ldflags "-X github.com/trusch/jamesd/internal/version.commit=...".
var commit string

// Commit returns the commit that the program was built from: as the linker was
// told, else as the Go toolchain found it in the work tree ("+dirty" where that
// had changes), else "unknown".
func Commit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return fromBuildInfo(info.Settings)
}

func fromBuildInfo(settings []debug.BuildSetting) string {
	revision, dirty := "unknown", ""
	for _, s := range settings {
		switch {
		case s.Key == "vcs.revision" && s.Value != "":
			revision = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "unknown" {
		return revision
	}
	return revision + dirty
}

// String returns the build in one line, without the program's name:
// "commit 0123456789ab go1.26.8 linux/arm64".
func String() string {
	return fmt.Sprintf("commit %s %s %s/%s", Commit(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// Print writes the answer of PROGRAM version to w.
func Print(w io.Writer, program string) {
	fmt.Fprintf(w, "%s %s\n", program, String())
}
