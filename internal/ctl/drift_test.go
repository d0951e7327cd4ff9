package ctl_test

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/pkg/james"
)

// drifts has device-1 poll with a packet hello of which some files have changed.
func (w *world) drifts(kinds ...james.ChangeKind) {
	w.Helper()
	hello := w.packets()[0]
	var changes []james.Change
	for n, kind := range kinds {
		changes = append(changes, james.Change{App: "hello", Path: james.Path("opt/" + string(rune('a'+n))), Kind: kind})
	}
	_, err := w.deviceClient().Poll(w.Context(), james.PollRequest{Report: &james.DeviceReport{
		SystemTags: james.MustTags("x86_64,systemd"), Apps: []james.App{hello.App()}, Drift: james.NewDrift(changes),
	}})
	w.check(err)
}

func TestDriftIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.drifts()
	const none = "ID  LAST SEEN  IN SYNC  DRIFT  REVISION  AGENT  REASON\n"
	const head = "ID        LAST SEEN  IN SYNC  DRIFT  REVISION  AGENT  REASON\n"
	w.prints(none, "list-devices", "--drift")
	w.drifts(james.ChangedConfig)
	w.prints(head+"device-1  12 s ago   yes      1      -/-       -\n", "list-devices", "--drift")
	w.drifts(james.ChangedConfig, james.ChangedMissing)
	w.prints(head+"device-1  12 s ago   yes      2      -/-       -      1 of 2 changed files are damaged: opt/b of hello is missing\n", "list-devices")
	w.prints(none, "list-devices", "--drift", "--out-of-sync")
	out := w.ok("get-device", "device-1")
	const want = "files that are not as their packets have them:\n" +
		"  APP    PATH   WHAT     MEANING\n" +
		"  hello  opt/a  config   was edited here, and stays so\n" +
		"  hello  opt/b  missing  is missing\n"
	if !strings.HasSuffix(out, want) {
		t.Errorf("%s\nlacks\n%s", out, want)
	}
	w.drifts(slices.Repeat([]james.ChangeKind{james.ChangedMode}, 60)...)
	if out := w.ok("get-device", "device-1"); !strings.Contains(out, "  and 10 more; \"jamesc verify\" on the device lists all\n") {
		t.Error(out)
	}
}

// TestFullState: with -o, get-state tells more than the founding document has, and
// all of it can be given to set-desired-state.
func TestFullState(t *testing.T) {
	t.Parallel()
	w, v1, _ := failedUpgrade(t)
	const founding = "id: device-1\nsystemtags:\n- systemd\n- x86_64\napps:\n- name: hello\n  tags:\n  - v1\n"
	w.prints(founding, "get-state", "device-1")
	w.prints(founding+
		"transaction:\n"+
		"  result: rolled-back\n"+
		"  summary: 'revision 1 failed and was undone, the old state is back: postinst ended with 1'\n"+
		"  revision: 1\n"+
		"  app: hello\n"+
		"  script: postinst\n"+
		"  kind: invalid\n"+
		"  output: |\n"+
		"    starting\n"+
		"    \uFFFD[31mno such tty\n"+
		"  started: 2026-01-02T11:59:58.5Z\n"+
		"  ended: 2026-01-02T12:00:00Z\n"+
		"  attempts: 2\n"+
		"  next_try: 2026-01-02T12:01:00Z\n", "get-state", "device-1", "-o", "yaml")
	_, err := w.deviceClient().Poll(w.Context(), james.PollRequest{Report: &james.DeviceReport{
		SystemTags: james.MustTags("x86_64,systemd"), Apps: []james.App{v1.App()},
		Drift: james.NewDrift([]james.Change{{App: "hello", Path: "usr/bin/hello", Kind: james.ChangedMode}}),
	}})
	w.check(err)
	for _, format := range []string{"yaml", "json"} {
		out := w.ok("get-state", "device-1", "-o", format)
		if !strings.Contains(out, "usr/bin/hello") || !strings.Contains(out, "no such tty") {
			t.Errorf("it lacks the drift or the output:\n%s", out)
		}
		w.ok("set-desired-state", "--file", w.file("back."+format, out))
	}
	var state struct {
		Transaction struct{ Output string }
		Drift       james.Drift
	}
	w.check(json.Unmarshal([]byte(w.ok("get-state", "device-1", "-o", "json")), &state))
	if state.Transaction.Output != "starting\n\x1b[31mno such tty\n" || state.Drift.Count != 1 {
		t.Errorf("%+v", state)
	}
	w.fails(3, "cannot get the state of device-9: ", "get-state", "device-9", "-o", "yaml")
}

func TestIgnoredKeys(t *testing.T) {
	t.Parallel()
	const file = "id: d\ntransaction: [of, {any: kind}]\napps: []\ndrift:\n"
	states, err := ctl.ReadStates("state.yaml", strings.NewReader(file))
	if err != nil || len(states) != 1 {
		t.Errorf("%v, %v", states, err)
	}
	if _, err := ctl.ReadStates("state.yaml", strings.NewReader("transaction: {}\napps: []\n")); err == nil {
		t.Error("a transaction was taken for a state")
	}
}

func TestTableOnATerminal(t *testing.T) {
	t.Parallel()
	rows := func() [][]string {
		return [][]string{{"ID", "REASON"}, {"device-1", "it failed and so it was undone, as it should be"}, {"device-2", ""}, {"d3"}}
	}
	for _, tc := range []struct {
		name    string
		columns int
		want    string
	}{
		{"no terminal", 0, "ID        REASON\ndevice-1  it failed and so it was undone, as it should be\ndevice-2\nd3\n"},
		{"wide", 57, "ID        REASON\ndevice-1  it failed and so it was undone, as it should be\ndevice-2\nd3\n"},
		{"less wide", 41, "ID        REASON\ndevice-1  it failed and so it was undone,\n          as it should be\ndevice-2\nd3\n"},
		{"narrow", 30, "ID        REASON\ndevice-1\n  it failed and so it was\n  undone, as it should be\ndevice-2\nd3\n"},
		{"absurd", 3, "ID\n  REASON\ndevice-1\n  it\n  failed\n  and\n  so\n  it\n  was\n  undone,\n  as\n  it\n  should\n  be\ndevice-2\nd3\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			ctl.TableWithin(&out, tc.columns, "", rows()...)
			if out.String() != tc.want {
				t.Errorf("%q, want\n%q", out.String(), tc.want)
			}
		})
	}
}

func TestReasonOnATerminal(t *testing.T) {
	t.Parallel()
	w, _, _ := failedUpgrade(t)
	for columns, want := range map[uint16]string{
		80:  "0123456789ab\r\n  upgrade hello v1 -> v2 failed: postinst ended with 1; the old state is back; 2\r\n  tries so far; ",
		100: "0123456789ab  upgrade hello v1 -> v2 failed: postinst\r\n" + strings.Repeat(" ", 61) + "ended with 1; the old state is back; 2\r\n",
	} {
		master, slave := terminal(t)
		w.check(unix.IoctlSetWinsize(int(slave.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: columns}))
		p, done := w.process(strings.NewReader(""), []string{"list-devices"})
		p.Out = slave
		shown := make(chan []byte)
		go func() { b, _ := io.ReadAll(master); shown <- b }()
		r := done(ctl.Run(t.Context(), p, func() time.Time { return noon.Add(12 * time.Second) }))
		slave.Close()
		if screen := string(<-shown); r.code != 0 || !strings.Contains(screen, want) {
			t.Errorf("%d columns: %+v, on the screen:\n%q\nlacks\n%q", columns, r, screen, want)
		}
	}
}
