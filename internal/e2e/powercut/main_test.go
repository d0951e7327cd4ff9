package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, args string
		cuts       int
		seed       uint64
		fails      bool
	}{
		{name: "given", args: "-cuts 7 -seed 9", cuts: 7, seed: 9},
		{name: "the usual number", args: "-seed 1", cuts: 50, seed: 1},
		{name: "no cuts", args: "-cuts 0", fails: true},
		{name: "no number", args: "-cuts many", fails: true},
		{name: "a word too many", args: "-seed 1 now", fails: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(strings.Fields(test.args), io.Discard)
			if (err != nil) != test.fails || err == nil && (o.cuts != test.cuts || o.seed != test.seed) {
				t.Errorf("%+v, %v", o, err)
			}
		})
	}
	if o, err := parse(nil, io.Discard); o.seed == 0 || err != nil {
		t.Errorf("no seed is chosen: %+v, %v", o, err)
	}
}

// TestInitramfs reads the archive back as the kernel does: every entry begins at
// a multiple of four and ends where its header says.
func TestInitramfs(t *testing.T) {
	t.Parallel()
	from := filepath.Join(t.TempDir(), "from")
	if err := os.WriteFile(from, []byte("12345"), 0o600); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	a := &initramfs{w: &b}
	a.dir("bin")
	a.file("bin/x", from, 0o755)
	a.link("bin/link", "/init")
	a.char("dev/console", 5, 1)
	if err := a.end(); err != nil {
		t.Fatal(err)
	}
	raw, got := b.Bytes(), []string{}
	for len(raw) > 0 {
		size, name := hex(t, raw[54:62]), hex(t, raw[94:102])
		at := align(110 + name)
		got = append(got, string(raw[:6])+" "+string(raw[14:22])+" "+string(raw[110:110+name-1])+" "+string(raw[at:at+size]))
		raw = raw[align(at+size):]
	}
	want := []string{"070701 000041ed bin ", "070701 000081ed bin/x 12345", "070701 0000a1ff bin/link /init", "070701 00002180 dev/console ", "070701 00000000 TRAILER!!! "}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("entries:\n%s", strings.Join(got, "\n"))
	}
	missing := &initramfs{w: io.Discard}
	missing.file("x", from+"-none", 0o644)
	if missing.end() == nil {
		t.Error("a missing file is no error")
	}
}

func hex(t *testing.T, digits []byte) int {
	t.Helper()
	n := 0
	for _, c := range digits {
		n = n*16 + strings.IndexByte("0123456789abcdef", c)
	}
	return n
}

func align(n int) int { return (n + 3) / 4 * 4 }

// TestFollow goes through the console of one transaction with two packets.
func TestFollow(t *testing.T) {
	t.Parallel()
	p := &progress{began: map[phase]time.Time{}, scripts: 2}
	for _, step := range []struct {
		text string
		want phase
	}{
		{`level=info msg="jamesc starts"`, waiting},
		{`level=info msg="carrying out a plan" attempt=1`, downloading},
		{"@download", downloading},
		{"@downloaded", staging},
		{"@download", downloading},
		{"@downloaded", staging},
		{"@script 0.new.preinst install", applying},
		{"@downloaded", applying},
		{"@end of script 0.new.preinst", applying},
		{"@script 0.new.postinst install", applying},
		{"@end of script 0.new.postinst", committing},
		{`level=info msg="plan carried out" result=committed`, done},
	} {
		if err := p.follow(line{time.Now(), step.text}); err != nil || p.phase != step.want {
			t.Errorf("after %q: %s, %v; want %s", step.text, p.phase, err, step.want)
		}
	}
	if p.follow(line{text: `level=warning msg="plan failed" error=x`}) == nil {
		t.Error("a failed plan is no error")
	}
}

func TestNeedsReplay(t *testing.T) {
	t.Parallel()
	for name, feature := range map[string]byte{"clean": 0xc2, "to replay": 0xc6} {
		image := filepath.Join(t.TempDir(), "image")
		raw := make([]byte, 4096)
		raw[1024+0x60] = feature
		if err := os.WriteFile(image, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if replay, err := needsReplay(image); replay != (name == "to replay") || err != nil {
			t.Errorf("%s: %t, %v", name, replay, err)
		}
	}
	if _, err := needsReplay(os.DevNull); err == nil {
		t.Error("an empty image is whole")
	}
}

// TestHeard reads what jamesc and the guest say of a recovery.
func TestHeard(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`level=warning msg="plan failed" attempt=1 error="the agent stopped" plan=1 recovered=true result=rolled-back revision=3`: "rolled-back",
		`level=info msg="plan carried out" plan=1 recovered=true result=committed revision=1 took=5s`:                             "committed",
		`level=info msg="plan carried out" plan=1 result=committed revision=1 took=5s`:                                            "",
	} {
		got := ""
		if found := recoveredResult.FindStringSubmatch(text); found != nil {
			got = found[1] + found[2]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if found := statusApp.FindStringSubmatch("@status base v1  (4b98027597c4)"); found == nil || found[1] != "base v1" {
		t.Errorf("an app is read as %q", found)
	}
	whole := recovery{apps: []string{"base v1"}, left: map[string]string{"manifests": "1", "run": "0", "journal": "0"}}
	if left := whole.leftover(); left != "" {
		t.Error(left)
	}
	for _, part := range []string{"manifests", "run", "journal"} {
		r := recovery{apps: whole.apps, left: map[string]string{"manifests": "1", "run": "0", "journal": "0", part: "7"}}
		if r.leftover() == "" {
			t.Errorf("something left in %s is not seen", part)
		}
	}
	if none := (&recovery{}); none.leftover() == "" {
		t.Error("a guest that says nothing is believed")
	}
}

// TestHear has the lines decide that were printed before the cut and read after.
func TestHear(t *testing.T) {
	t.Parallel()
	now := time.Now()
	c := newResult(&device{}, nil, &progress{phase: applying, scripts: 1, began: map[phase]time.Time{}})
	c.hear([]line{{now.Add(-time.Second), "@end of script 0.new.postinst"}})
	if c.phase != committing || c.after < time.Second {
		t.Errorf("%s, %s after it began", c.phase, c.after)
	}
}

// TestTable shows that one lost cut makes the whole run one that failed.
func TestTable(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, last, ends string }{
		{"good", endedAfter, "3 cuts, none lost (seed 5)"},
		{"bad", endedLost, "3 cuts, 1 lost (seed 5)"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			r := &results{want: 3, world: &world{options: options{seed: 5}, out: &printer{w: &b}}}
			states := load.States()
			r.add(&result{device: "d", from: states[0], to: states[1], phase: applying, lost: 3, kept: 4, ended: endedBefore, recovery: "rolled-back"})
			r.add(&result{device: "d", from: states[0], to: states[1], phase: applying, replayed: true, ended: endedBefore})
			r.add(&result{device: "d", from: states[0], to: states[1], phase: recovering, ended: test.last})
			r.print(r.world.out)
			if out := strings.TrimSpace(b.String()); !strings.HasSuffix(out, test.ends) || !strings.Contains(out, "\napplying      2       2      0      0           1            3        7       1\n") {
				t.Errorf("it prints:\n%s", out)
			}
			if (r.lost() > 0) != (test.name == "bad") {
				t.Errorf("%d are lost", r.lost())
			}
		})
	}
}
