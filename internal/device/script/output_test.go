package script_test

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/trusch/jamesd/internal/device/script"
	"github.com/trusch/jamesd/pkg/james"
)

// TestOutput has scripts print what is hard to keep.
func TestOutput(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, body string
		ends       string
		full       bool // as much as may be kept
	}{
		{"a gigabyte", "head -c 1000000000 /dev/zero | tr '\\0' x; echo; echo the end", "x\nthe end\n", true},
		{"one byte at a time", "i=0; while [ $i -lt 20000 ]; do printf x; i=$((i+1)); done; printf end", "xxend", true},
		{"garbage", "head -c 100000 /dev/urandom; echo; echo the end", "\nthe end\n", true},
		{"exactly what is kept", "head -c 16384 /dev/zero | tr '\\0' x", "xxx", true},
		{"nothing", ":", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var r script.Runner
			out, err := r.Run(context.Background(), call(t, c.body))
			if err != nil || !strings.HasSuffix(out, c.ends) || len(out) > james.MaxOutput || !utf8.ValidString(out) {
				t.Errorf("%d bytes, %v: %.40q", len(out), err, out)
			}
			if c.full && c.name != "garbage" && len(out) != james.MaxOutput {
				t.Errorf("%d bytes are kept", len(out))
			}
		})
	}
}

// TestSilence has a script print something and then hang.
func TestSilence(t *testing.T) {
	t.Parallel()
	r := script.Runner{Timeout: 300 * time.Millisecond, Grace: 50 * time.Millisecond}
	out, err := r.Run(context.Background(), call(t, "echo this far; exec sleep 600"))
	if james.KindOf(err) != james.KindInterrupted || out != "this far\n" || script.Output(err) != out {
		t.Errorf("%v, output %q", err, out)
	}
}

// BenchmarkOutput is a script that prints a gigabyte; what the agent's memory
// grows by meanwhile is in bytes.
func BenchmarkOutput(b *testing.B) {
	body := filepath.Join(b.TempDir(), "script")
	if err := os.WriteFile(body, []byte("#!/bin/sh\nhead -c 1073741824 /dev/zero\n"), 0o700); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(1 << 30)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for b.Loop() {
		var r script.Runner
		if _, err := r.Run(context.Background(), script.Call{Name: james.Postinst, File: body, Action: james.ActionInstall, Root: "/"}); err != nil {
			b.Fatal(err)
		}
	}
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/float64(b.N), "B/run")
}
