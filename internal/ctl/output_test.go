package ctl_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/ctl"
)

func TestTable(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	ctl.Table(&out, "> ", []string{"ID", "TEXT", "END"}, []string{"grün", "a", ""}, []string{"x", "bell\a\x1b[31m", "two\nlines"}, []string{"short"})
	const want = "" +
		"> ID     TEXT        END\n" +
		"> grün   a\n" +
		"> x      bell\uFFFD\uFFFD[31m  two lines\n" +
		"> short\n"
	if out.String() != want {
		t.Errorf("%q\nwant\n%q", out.String(), want)
	}
}

func TestAgo(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for d, want := range map[time.Duration]string{
		-time.Hour: "now", 0: "now", 900 * time.Millisecond: "now", time.Second: "1 s ago", 119 * time.Second: "119 s ago",
		2 * time.Minute: "2 min ago", 119 * time.Minute: "119 min ago", 2 * time.Hour: "2 h ago", 47 * time.Hour: "47 h ago",
		48 * time.Hour: "2 d ago", 1000 * time.Hour: "41 d ago",
	} {
		if got := ctl.Ago(now, now.Add(-d)); got != want {
			t.Errorf("%s: %q, want %q", d, got, want)
		}
	}
	if got := ctl.Ago(now, time.Time{}); got != "never" {
		t.Errorf("%q", got)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 107 << 20: "107.0 MiB", 3 << 30: "3.0 GiB", 5 << 40: "5.0 TiB", 5 << 50: "5120.0 TiB",
	} {
		if got := ctl.Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"localhost:2761": "localhost:2761", "jamesd": "jamesd:2761", "10.0.0.1": "10.0.0.1:2761", ":1234": "localhost:1234",
		"::1": "[::1]:2761", "[::1]": "[::1]:2761", "[::1]:1": "[::1]:1", "https://jamesd:1/": "jamesd:1", "": "localhost:2761",
		"jamesd:": "", "a b": "", "jamesd:1/v1": "",
	} {
		got, err := ctl.Address(in)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q: %q, %v; want %q", in, got, err, want)
		}
	}
}
