package delta_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
)

// source is a program. What stands in for EXTRA moves all that is linked after it.
const source = `package main

import (
	"fmt"
	"net/url"
	"os"
)

func main() {
	u, err := url.Parse(os.Args[0])
	fmt.Println(u, err, extra(os.Args))
}

func extra(words []string) (n int) {
	EXTRA
	return n
}
`

// built returns what the compiler makes of the source for a kind of processor.
func built(t *testing.T, arch, extra string) []byte {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "main.go")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(source, "EXTRA", extra)), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", filepath.Join(dir, "program"), file)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, "program"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestBuilt patches a real program into one with a function more, whose addresses
// have moved.
func TestBuilt(t *testing.T) {
	t.Parallel()
	const more = `for i, w := range words {
		if u, err := url.Parse(w); err == nil && u.Host != "" {
			n += i * len(u.Host)
		} else {
			fmt.Fprintln(os.Stderr, w, "is no address:", err)
		}
	}`
	for _, arch := range []string{"amd64", "386", "arm", "arm64"} {
		t.Run(arch, func(t *testing.T) {
			t.Parallel()
			old, want := built(t, arch, ""), built(t, arch, more)
			p := mustMake(t, old, want, delta.Limits{})
			checkMakes(t, p, old, want)
			checkMakes(t, p.From(100_001), old, want[100_001:])
			if n := compressed(t, p); n > len(want)/80 {
				t.Errorf("the patch takes %d bytes of %d", n, len(want))
			}
		})
	}
}
