package ctl_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// failedUpgrade makes a world in which device-1 failed to upgrade hello.
func failedUpgrade(t *testing.T) (w *world, v1, v2 james.Packet) {
	w = newWorld(t)
	w.add("v1,x86_64", "one")
	w.add("v2,x86_64", "two")
	w.add("v2,arm64", "three")
	for _, k := range w.packets() {
		switch k.Tags.String() {
		case "v1,x86_64":
			v1 = k
		case "v2,x86_64":
			v2 = k
		}
	}
	w.device(v1.App())
	w.ok("set-desired-state", "--file", w.file("s.yaml", "id: device-1\napps:\n- name: hello\n  tags: [v2]\n"))
	plan := w.device(v1.App()).Plan
	w.check(w.deviceClient().Report(t.Context(), james.Report{
		Plan: plan.ID, Revision: plan.Revision, Result: james.RolledBack, Kind: james.KindInvalid,
		Error: "postinst ended with 1", App: "hello", Script: james.Postinst, Output: "starting\n\x1b[31mno such tty\n",
		Started: noon.Add(-1500 * time.Millisecond), Ended: noon, Attempts: 2, RetryAt: noon.Add(time.Minute),
	}))
	return w, v1, v2
}

func TestDeviceTables(t *testing.T) {
	t.Parallel()
	w, v1, v2 := failedUpgrade(t)
	forced := w.run("set-desired-state", "--force", "--file", w.file("n.yaml", "id: device-2\napps: []\n"), "-o", "json")
	if forced.code != 0 || !strings.HasPrefix(forced.err, "warning: device-2 has never polled") || !strings.HasPrefix(forced.out, "[\n  {") {
		t.Errorf("%+v", forced)
	}
	var devices []james.DeviceStatus
	w.check(json.Unmarshal([]byte(w.ok("list-devices", "-o", "json")), &devices))
	if len(devices) != 2 || devices[0].Reason == "" {
		t.Fatalf("%+v", devices)
	}
	w.prints(""+
		"ID        LAST SEEN  IN SYNC  DRIFT  REVISION  AGENT         REASON\n"+
		"device-1  12 s ago   no       -      -/1       0123456789ab  "+devices[0].Reason+"\n"+
		"device-2  never      no       -      -/1       -             has never polled\n", "list-devices", "--out-of-sync")
	w.prints(""+
		"id:           device-1\n"+
		"in sync:      no\n"+
		"reason:       "+devices[0].Reason+"\n"+
		"last seen:    2026-01-02 12:00:00 (12 s ago)\n"+
		"first seen:   2026-01-02 12:00:00 (12 s ago)\n"+
		"agent:        commit 0123456789ab go1.26.8 linux/arm64\n"+
		"revision:     -/1 (applied/desired)\n"+
		"system tags:  systemd,x86_64\n"+
		"apps:\n"+
		"  NAME   TAGS       DIGEST\n"+
		"  hello  v1,x86_64  "+v1.Digest.Short()+"\n"+
		"last transaction:\n"+
		"  result:        rolled-back\n"+
		"  summary:       revision 1 failed and was undone, the old state is back: postinst ended with 1\n"+
		"  ended:         2026-01-02 12:00:00 (12 s ago), took 1.5s\n"+
		"  app:           hello\n"+
		"  script:        postinst\n"+
		"  attempts:      2\n"+
		"  next attempt:  2026-01-02 12:01:00\n"+
		"  output:\n"+
		"    starting\n"+
		"    \uFFFD[31mno such tty\n", "get-device", "device-1")
	r := w.run("explain", "device-1")
	want := "" +
		"hello v2:\n" +
		"  DIGEST        TAGS       VERDICT\n" +
		"  " + v2.Digest.Short() + "  v2,x86_64  chosen: fits, with 1 of the app's 1 tag and 2 in all\n"
	if r.code != 0 || !strings.HasPrefix(r.out, want) || !strings.Contains(r.out, "  arm64,v2   ruled out by arm64\n") ||
		!strings.Contains(r.out, "  v1,x86_64  ruled out by v1\n") ||
		!strings.HasSuffix(r.out, "plan for revision 1:\n  upgrade  hello  v1,x86_64 ("+v1.Digest.Short()+") -> v2,x86_64 ("+v2.Digest.Short()+")\n") {
		t.Errorf("%s%s", r.out, r.err)
	}
	w.fails(3, "cannot explain the desired state of device-1: the app other is neither in it nor to be uninstalled", "explain", "device-1", "--app", "other")
	w.fails(3, "cannot explain the desired state of device-9: ", "explain", "device-9")
	if out := w.ok("explain", "device-1", "--app", "hello", "-o", "yaml"); !strings.Contains(out, "missing:\n  - arm64\n") && !strings.Contains(out, "  missing:\n    - arm64\n") {
		t.Error(out)
	}
}

func TestExplainProblems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("a", "one")
	w.add("b", "two")
	w.device(james.App{Name: "gone", Tags: james.MustTags("v1"), Digest: james.DigestOf(nil)})
	file := w.file("s.yaml", "id: device-1\napps:\n- {name: hello, tags: [a, b]}\n- {name: nothing, tags: [v1]}\n")
	w.fails(2, "cannot set the desired state of device-1: ", "set-desired-state", "--file", file)
	r := w.run("set-desired-state", "--file", file, "--force")
	if r.code != 0 || r.out != "device-1: revision 1, changed\n" || strings.Count(r.err, "warning: device-1: ") != 2 {
		t.Errorf("%+v", r)
	}
	out := w.ok("explain", "device-1")
	for _, want := range []string{
		"hello a,b:\n  ambiguous: ", "  a     fits, with 1 of the app's 2 tags and 1 in all\n",
		"nothing v1:\n  unresolved: ", "  there is no packet nothing\n",
		"plan for revision 1:\n  uninstall  gone  v1 (e3b0c44298fc)\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%s\nlacks\n%s", out, want)
		}
	}
	if out := w.ok("get-device", "device-1"); !strings.Contains(out, "problems:\n  hello a,b: ambiguous: ") {
		t.Error(out)
	}
}

func TestDesiredHistory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.device()
	w.ok("set-desired-state", "--file", w.file("1.yaml", "id: device-1\napps:\n- {name: hello, tags: [v1]}\n"))
	w.ok("set-desired-state", "--file", w.file("2.yaml", "id: device-1\napps: []\n"))
	w.prints(""+
		"REVISION  SET                  BY    APPS\n"+
		"2         2026-01-02 12:00:00  root  -\n"+
		"1         2026-01-02 12:00:00  root  hello v1\n", "get-desired-state", "device-1", "--history")
	w.prints("# revision 2, set 2026-01-02 12:00:00 by root\nid: device-1\napps: []\n", "get-desired-state", "device-1")
	w.prints("# revision 1, set 2026-01-02 12:00:00 by root\nid: device-1\napps:\n- name: hello\n  tags:\n  - v1\n",
		"get-desired-state", "--id", "device-1", "--revision", "1")
	w.fails(3, "cannot get the desired state of device-1: there is no revision 7 of it", "get-desired-state", "device-1", "--revision", "7")
	w.fails(2, "do not go together", "get-desired-state", "device-1", "--revision", "1", "--history")
	var d james.Desired
	w.check(json.Unmarshal([]byte(w.ok("get-desired-state", "device-1", "-o", "json")), &d))
	if d.Revision != 2 || len(d.History) != 1 {
		t.Errorf("%+v", d)
	}
	w.prints("device-1 has no desired state and is left alone\n", "delete-desired-state", "device-1")
	w.fails(3, "cannot get the desired state of device-1: ", "get-desired-state", "device-1")
	w.ok("set-desired-state", "--file", w.path("1.yaml"))
	if out := w.ok("get-desired-state", "device-1", "--history"); !strings.Contains(out, "3         2026-01-02 12:00:00  root  (deleted)\n") {
		t.Error(out)
	}
	w.prints("device-1 is deleted\n", "delete-device", "device-1")
	w.fails(3, "cannot delete device device-1: ", "delete-device", "device-1")
	w.fails(3, "cannot get the state of device-1: ", "get-state", "device-1")
	w.fails(2, "the id is missing", "delete-device")
	w.fails(2, "cannot get the state of a/b: ", "get-state", "a/b")
}

// TestPurge has what is to be purged go through a file and back.
func TestPurge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	installed := func(name string) james.App {
		return james.App{Name: name, Tags: james.MustTags("v1"), Digest: james.DigestOf([]byte(name))}
	}
	w.device(installed("gone"), installed("hello"), installed("kept"))
	const hello, none = "id: device-1\napps:\n- {name: hello, tags: [v1]}\n", "id: device-1\napps: []\n"
	w.prints("device-1: revision 1, changed\n", "set-desired-state", "--file", w.file("plain.yaml", hello))
	w.prints("device-1: revision 2, changed\n", "set-desired-state", "--file", w.path("plain.yaml"), "--purge", "gone, kept")
	w.prints("device-1: revision 2, unchanged\n", "set-desired-state", "--file", w.file("purge.yaml", hello+"purge: [kept]\n"), "--purge", "gone")
	const printed = "# revision 2, set 2026-01-02 12:00:00 by root\nid: device-1\napps:\n- name: hello\n  tags:\n  - v1\npurge:\n- gone\n- kept\n"
	w.prints(printed, "get-desired-state", "device-1")
	w.prints("device-1: revision 2, unchanged\n", "set-desired-state", "--file", w.file("printed.yaml", printed))
	if out := w.ok("get-desired-state", "device-1", "--history"); !strings.Contains(out, "root  hello v1; purge gone, kept\n1 ") {
		t.Error(out)
	}
	if out := w.ok("explain", "device-1"); !strings.Contains(out, "  uninstall  gone   v1 ("+installed("gone").Digest.Short()+"), purge: with its configuration files\n") {
		t.Error(out)
	}
	if out := w.ok("list-events"); !strings.Contains(out, "was set: hello v1; to be purged: gone, kept") {
		t.Error(out)
	}
	if out := w.ok("get-state", "device-1"); strings.Contains(out, "purge") {
		t.Error(out)
	}
	r := w.run("set-desired-state", "--file", w.path("plain.yaml"), "--purge", "unknown")
	if r.code != 0 || !strings.HasPrefix(r.err, "warning: unknown is not installed on device-1, so nothing is purged") {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct{ want, file, purge string }{
		{"cannot set the desired state: purge: hello is wanted too", hello, "hello"},
		{`cannot set the desired state: --purge: packet name: "a b" has " "`, hello, "a b"},
		{"cannot set the desired state: --purge: there are 2 states in the file", none + "---\nid: device-2\napps: []\n", "gone"},
	} {
		w.fails(2, c.want, "set-desired-state", "--file", w.file("bad.yaml", c.file), "--purge", c.purge)
	}
}

// TestSchedule has a schedule go through a file and back.
func TestSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.device()
	const state = "id: device-1\napps:\n- name: hello\n  tags:\n  - v1\ndownload: now\napply: Mon-Fri 22:00-06:00, Sun 00:00-24:00\nurgent: true\n"
	w.prints("device-1: revision 1, changed\n", "set-desired-state", "--file", w.file("state.yaml", state))
	w.prints("# revision 1, set 2026-01-02 12:00:00 by root\n"+state, "get-desired-state", "device-1")
	w.prints("device-1: revision 1, unchanged\n", "set-desired-state", "--file", w.path("state.yaml"))
	w.prints("device-1: revision 2, changed\n", "set-desired-state", "--file", w.file("plain.yaml", "id: device-1\napps:\n- {name: hello, tags: [v1]}\n"))
	if out := w.ok("get-desired-state", "device-1", "--history"); !strings.Contains(out, "root  hello v1; download now, apply Mon-Fri 22:00-06:00, Sun 00:00-24:00, urgent\n") {
		t.Error(out)
	}
	if out := w.ok("explain", "device-1"); strings.Contains(out, "when:") {
		t.Error(out)
	}
	w.ok("set-desired-state", "--file", w.path("state.yaml"))
	if out := w.ok("explain", "device-1"); !strings.HasSuffix(out, "\nwhen: download now, apply Mon-Fri 22:00-06:00, Sun 00:00-24:00, urgent\n") {
		t.Error(out)
	}
}

// TestSeveralStates: all are read before the first is sent, and all that can be
// set are set.
func TestSeveralStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device()
	const good, stranger = "id: device-1\napps: []\n", "id: device-7\napps: []\n"
	w.fails(2, "cannot set the desired state: DIR/bad.yaml:5 (document 2): device id: is empty",
		"set-desired-state", "--file", w.file("bad.yaml", good+"---\n\nid: ''\napps: []\n"))
	w.fails(3, "cannot get the desired state of device-1", "get-desired-state", "device-1")
	r := w.run("set-desired-state", "--file", w.file("mixed.yaml", stranger+"---\n"+good))
	if r.code != 3 || r.out != "device-1: revision 1, changed\n" ||
		!strings.Contains(r.err, "jamesd-ctl: cannot set the desired state of device-7: ") || !strings.Contains(r.err, "hint: ") ||
		!strings.HasSuffix(r.err, "jamesd-ctl: cannot set the desired state: 1 of 2 states were not set\n") {
		t.Errorf("%+v", r)
	}
	w.fails(2, "the file with the state is missing", "set-desired-state")
	w.fails(2, "takes no argument", "set-desired-state", "x.yaml")
	w.fails(2, "cannot set the desired state: DIR/pki: is a directory\n", "set-desired-state", "--file", w.path("pki"))
	w.fails(2, "cannot set the desired state: DIR/none: there is no such file", "set-desired-state", "--file", w.path("none"))
	w.env["JAMESD_CERT"], w.env["JAMESD_KEY"] = w.pki("device-1.crt"), w.pki("device-1.key")
	r = w.run("set-desired-state", "--file", w.path("mixed.yaml"))
	if r.code != 5 || strings.Count(r.err, "jamesd-ctl: ") != 2 || !strings.Contains(r.err, "2 of 2 states were not set") {
		t.Errorf("after a refusal of the caller: %+v", r)
	}
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.prints("SEQ  TIME  EVENT  BY  TEXT\n", "list-events")
	w.add("v1", "one")
	w.device()
	w.ok("set-desired-state", "--file", w.file("1.yaml", "id: device-1\napps:\n- {name: hello, tags: [v1]}\n"))
	out := w.ok("list-events")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.Contains(lines[1], "packet-added") || !strings.Contains(lines[2], "device-seen") || !strings.Contains(lines[3], "desired-set") {
		t.Fatal(out)
	}
	if out := w.ok("list-events", "--limit", "1"); strings.Count(out, "\n") != 2 || !strings.Contains(out, "desired-set") {
		t.Error(out)
	}
	if out := w.ok("list-events", "--device", "device-1"); strings.Contains(out, "packet-added") || !strings.Contains(out, "desired-set") {
		t.Error(out)
	}
	var events []james.Event
	w.check(json.Unmarshal([]byte(w.ok("list-events", "-o", "json", "--limit", "0")), &events))
	if len(events) != 3 {
		t.Fatalf("%+v", events)
	}
	w.check(json.Unmarshal([]byte(w.ok("list-events", "-o", "json", "--after", fmt.Sprint(events[1].Seq))), &events))
	if len(events) != 1 || events[0].Kind != james.EventDesiredSet {
		t.Errorf("%+v", events)
	}
	w.fails(2, "must not be negative", "list-events", "--limit", "-1")
}
