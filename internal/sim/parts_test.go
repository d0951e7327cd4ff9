package sim_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/sim"
	"github.com/trusch/jamesd/pkg/james"
)

// TestHistogram: a percentile is within a thirtieth of the real one, and the longest
// time is exact.
func TestHistogram(t *testing.T) {
	t.Parallel()
	var h sim.Histogram
	if h.Quantile(0.5) != 0 {
		t.Error("an empty one has a median")
	}
	for i := range 100_000 { // to 100 s
		h.Add(time.Duration(i+1) * time.Millisecond)
	}
	longest := 30 * 24 * time.Hour
	for _, q := range []float64{0.01, 0.5, 0.99} {
		want := time.Duration(q * 100 * float64(time.Second))
		if got := h.Quantile(q); got < want || got > want*33/32 {
			t.Errorf("the quantile %v is %s, not %s", q, got, want)
		}
	}
	h.Add(longest)
	if h.Quantile(1) != longest {
		t.Errorf("the longest is %s", h.Quantile(1))
	}
	var one sim.Histogram
	one.Add(1234 * time.Microsecond)
	if got := one.Quantile(0.99); got != 1234*time.Microsecond {
		t.Errorf("of one: %s", got)
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text  string
		want  int
		fails bool
	}{
		{"0", 0, false}, {"20", 20, false}, {"5%", 10, false}, {"0.1%", 1, false}, {"100%", 200, false}, {"0%", 0, false},
		{"", 0, true}, {"-1", 0, true}, {"101%", 0, true}, {"x%", 0, true}, {"0.5", 0, true}, {"NaN%", 0, true},
	} {
		if got, err := sim.Share(row.text, 200); got != row.want || (err != nil) != row.fails {
			t.Errorf("%q is %d, %v", row.text, got, err)
		}
	}
}

func TestParseApps(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                        "[]",
		"openvpn":                 "[openvpn]",
		"openvpn v1,armv7l":       "[openvpn armv7l,v1]",
		" openvpn v1 ; hello v2;": "[openvpn v1 hello v2]",
		"a b c":                   "invalid",
		"a v1; a v2":              "invalid",
		"../a":                    "invalid",
		"a x/y z":                 "invalid",
	} {
		apps, err := sim.ParseApps(text)
		got := fmt.Sprint(apps)
		if err != nil {
			got = string(james.KindOf(err))
		}
		if got != want {
			t.Errorf("%q is %s (%v), not %s", text, got, err, want)
		}
	}
}

// TestNames: errors that mean one thing have one name, without addresses.
func TestNames(t *testing.T) {
	t.Parallel()
	wrap := func(err error) error { return &net.OpError{Op: "read", Net: "tcp", Err: err} }
	for _, row := range []struct {
		err  error
		want string
	}{
		{wrap(syscall.ECONNREFUSED), "connection refused"},
		{wrap(syscall.ECONNRESET), "connection lost"},
		{io.EOF, "connection lost"},
		{fmt.Errorf("in the middle: %w", io.ErrUnexpectedEOF), "connection lost"},
		{wrap(syscall.EMFILE), "too many open files"},
		{james.Errorf(james.KindCorrupt, "answer", "x"), "malformed answer"},
		{&net.OpError{Op: "remote error", Err: errors.New("tls: expired certificate")}, "tls: expired certificate"},
		{fmt.Errorf("dial 127.0.0.1:1: no route to host"), "no route to host"},
	} {
		if got := sim.NameOf(row.err); got != row.want {
			t.Errorf("%v is %q, not %q", row.err, got, row.want)
		}
	}
}

// TestSources: own addresses are needed where ports would run out, and exist on
// loopback only.
func TestSources(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		addr        string
		connections int
		want        int
		fails       bool
	}{
		{"127.0.0.1:1", 100, 0, false},
		{"127.0.0.1:1", 200_000, 2, false},
		{"192.0.2.7:1", 100, 0, false},
		{"192.0.2.7:1", 200_000, 0, true},
		{"[::1]:1", 200_000, 0, true},
	} {
		if got, err := sim.Sources(row.addr, row.connections); got < row.want || row.want == 0 && got > 0 || (err != nil) != row.fails {
			t.Errorf("%d to %s: %d, %v", row.connections, row.addr, got, err)
		}
	}
}
