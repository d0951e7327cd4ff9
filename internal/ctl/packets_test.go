package ctl_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// packets returns what list-packets -o json prints.
func (w *world) packets() (list []james.Packet) {
	w.Helper()
	w.check(json.Unmarshal([]byte(w.ok("list-packets", "-o", "json")), &list))
	return list
}

func TestPackets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.prints("NAME  TAGS  DIGEST  SIZE  ADDED\n", "list-packets")
	w.prints("[]\n", "list-packets", "-o", "json")
	w.prints("[]\n", "list-packets", "-o", "yaml")
	w.add("v1.0.0,x86_64", "one")
	w.ok("add-packet", "bare", "--data", w.packet("two"), "--postinst", w.file("p.sh", "#!/bin/sh\n"))
	all := w.packets()
	bare, hello := all[0], all[1]
	w.prints(""+
		"NAME   TAGS           DIGEST        SIZE  ADDED\n"+
		"bare   -              "+bare.Digest.Short()+"  4 B   2026-01-02 12:00:00\n"+
		"hello  v1.0.0,x86_64  "+hello.Digest.Short()+"  4 B   2026-01-02 12:00:00\n", "list-packets")
	if got := w.ok("list-packets", "hello"); strings.Contains(got, "bare") || !strings.Contains(got, "hello") {
		t.Error(got)
	}
	w.prints(""+
		"name:            bare\n"+
		"tags:            -\n"+
		"digest:          "+bare.Digest.String()+"\n"+
		"files:           3 entries, 4 B\n"+
		"scripts:         postinst\n"+
		"archive:         xz, "+fileSize(t, w.packet("two"))+"\n"+
		"archive digest:  "+bare.Archive.Digest.String()+"\n"+
		"added:           2026-01-02 12:00:00 by root\n", "get-packet", "bare")
	w.prints(""+
		"TYPE  MODE  OWNER  SIZE  PATH\n"+
		"dir   0700  0:0    -     usr\n"+
		"dir   0700  0:0    -     usr/bin\n"+
		"file  0755  0:0    4     usr/bin/hello\n",
		"get-packet", "hello", "--tags", "x86_64,v1.0.0", "--manifest")
}

func TestReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.device()
	w.ok("add-packet", "ng", "--tags", "v1", "--data", w.packet("one"), "--replaces", "old, hello,old", "--replaces", "older")
	if got := w.packets()[0].Replaces; !slices.Equal(got, []string{"hello", "old", "older"}) {
		t.Errorf("it replaces %q", got)
	}
	if out := w.ok("get-packet", "ng"); !strings.Contains(out, "\nreplaces:        hello, old, older\n") {
		t.Error(out)
	}
	w.ok("set-desired-state", "--file", w.file("1.yaml", "id: device-1\napps:\n- {name: ng, tags: [v1]}\n"))
	if out := w.ok("explain", "device-1"); !strings.Contains(out, "), takes over the files that it shares with hello, old, older\n") {
		t.Error(out)
	}
	w.fails(2, `cannot add packet ng: --replaces: packet name: "a b" has " "`, "add-packet", "ng", "--data", w.packet("one"), "--replaces", "a b")
	w.fails(2, "cannot add packet ng: --replaces: names the packet itself", "add-packet", "ng", "--data", w.packet("one"), "--replaces", "ng")
}

func TestHealthChecks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	script := w.file("check.sh", "#!/bin/sh\n")
	for name, tc := range map[string]struct {
		flags []string
		says  string
		want  *james.Health
	}{
		"defaults":        {nil, "one try of up to 1m0s", nil},
		"defaults, given": {[]string{"--health-retries", "0"}, "one try of up to 1m0s", nil},
		"some":            {[]string{"--health-retries", "3"}, "up to 4 tries of up to 1m0s each, 5s apart", &james.Health{Retries: 3}},
		"all": {[]string{"--health-timeout", "30s", "--health-retries", "1", "--health-interval", "2m"}, "up to 2 tries of up to 30s each, 2m0s apart",
			&james.Health{Timeout: 30, Retries: 1, Interval: 120}},
	} {
		name = strings.NewReplacer(",", "", " ", "-").Replace(name)
		w.ok(append([]string{"add-packet", name, "--data", w.packet("one"), "--health", script}, tc.flags...)...)
		if got := w.ok("get-packet", name); !strings.Contains(got, "scripts:         health\nhealth check:    "+tc.says+"\n") {
			t.Errorf("%s: %s", name, got)
		}
		for _, k := range w.packets() {
			if k.Name == name && ((k.Health == nil) != (tc.want == nil) || k.Health != nil && *k.Health != *tc.want) {
				t.Errorf("%s: %+v, want %+v", name, k.Health, tc.want)
			}
		}
	}
}

func fileSize(t *testing.T, file string) string {
	t.Helper()
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d B", info.Size())
}

func TestManifestOfLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := w.file("links/data", "four")
	w.check(os.Link(file, w.path("links/hard")))
	w.check(os.Symlink("/etc/motd", w.path("links/soft")))
	w.ok("build-packet", w.path("links"), "-o", w.path("links.tar.gz"))
	w.ok("add-packet", "links", "--data", w.path("links.tar.gz"))
	w.prints(""+
		"TYPE      MODE  OWNER  SIZE  PATH\n"+
		"file      0600  0:0    4     data\n"+
		"hardlink  -     -      -     hard = data\n"+
		"symlink   -     0:0    -     soft -> /etc/motd\n", "get-packet", "links", "--manifest")
	var m james.Manifest
	w.check(json.Unmarshal([]byte(w.ok("get-packet", "links", "--manifest", "-o", "json")), &m))
	if len(m.Entries) != 3 {
		t.Errorf("%+v", m)
	}
}

func TestAddPacketAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.packet("one"), w.packet("two")
	args := []string{"add-packet", "hello", "--tags", "v1", "--data"}
	first := w.ok(append(args, one)...)
	d := w.packets()[0].Digest
	want := "packet:  hello v1\ndigest:  " + d.String() + "\nfiles:   3 entries, 4 B\nresult:  added\n"
	if first != want {
		t.Errorf("%s\nwant\n%s", first, want)
	}
	w.prints(strings.Replace(want, "added", "it was there already", 1), append(args, one)...)
	w.fails(4, "cannot add packet hello", append(args, two)...)
	w.fails(4, "--replace", append(args, two)...)
	if out := w.ok(append(args, two, "--replace")...); !strings.Contains(out, "result:  added in place of "+d.String()) {
		t.Error(out)
	}
	var r james.AddPacketResponse
	w.check(json.Unmarshal([]byte(w.ok(append(args, two, "-o", "json")...)), &r))
	if r.Added || r.Packet.Digest == d {
		t.Errorf("%+v", r)
	}
}

func TestAddPacketRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.packet("one")
	large := w.file("large.sh", strings.Repeat("#", james.MaxScript+1))
	empty, text := w.file("empty", ""), w.file("text", "no archive at all\n")
	w.check(os.Mkdir(w.path("tree"), 0o700))
	for _, tc := range []struct {
		name string
		code int
		want string
		args []string
	}{
		{"no name", 2, "jamesd-ctl: the name is missing\nhint: Give it as in: jamesd-ctl add-packet", []string{"--data", good}},
		{"no data", 2, "the archive is missing", []string{"x"}},
		{"two names", 2, `two names are given: "x" and --name "y"`, []string{"x", "--name", "y", "--data", good}},
		{"two arguments", 2, "takes one argument, not 2", []string{"x", "y", "--data", good}},
		{"a malformed name", 2, `cannot add packet a b: packet name: "a b" has " "`, []string{"a b", "--data", good}},
		{"an empty tag", 2, "cannot add packet x: tag: is empty", []string{"x", "--data", good, "--tags", "v1,,v2"}},
		{"a missing archive", 2, "cannot add packet x: DIR/none: there is no such file", []string{"x", "--data", w.path("none")}},
		{"an empty archive", 2, "cannot add packet x: DIR/empty: is empty", []string{"x", "--data", empty}},
		{"a directory", 2, "cannot add packet x: DIR/tree: is a directory, an archive is wanted\nhint: Make one with: jamesd-ctl build-packet DIR/tree -o tree.tar.xz", []string{"x", "--data", w.path("tree")}},
		{"no archive", 2, "cannot add packet x: ", []string{"x", "--data", text}},
		{"a missing script", 2, "cannot add packet x: DIR/none.sh: there is no such file", []string{"x", "--data", good, "--preinst", w.path("none.sh")}},
		{"a directory for a script", 2, "cannot add packet x: DIR/tree: is a directory", []string{"x", "--data", good, "--postrm", w.path("tree")}},
		{"a large script", 2, "cannot add packet x: DIR/large.sh: is too large for a script", []string{"x", "--data", good, "--preinst", large}},
		{"limits without a health check", 2, "cannot add packet x: health-retries: there is no health check that it could be for\nhint: Give the script with --health FILE.",
			[]string{"x", "--data", good, "--health-retries", "3"}},
		{"limits of an empty health check", 2, "cannot add packet x: health-timeout: there is no health check", []string{"x", "--data", good, "--health", empty, "--health-timeout", "3s"}},
		{"part of a second", 2, "cannot add packet x: health-timeout: is 1.5s, whole seconds from 1s to 1h are allowed", []string{"x", "--data", good, "--health", text, "--health-timeout", "1.5s"}},
		{"no time", 2, "cannot add packet x: health-interval: is 0s, whole seconds from 1s to 10m are allowed", []string{"x", "--data", good, "--health", text, "--health-interval", "0"}},
		{"too many tries", 2, "cannot add packet x: health-retries: is 101, 0 to 100 are allowed", []string{"x", "--data", good, "--health", text, "--health-retries", "101"}},
		{"an unknown flag", 2, "unknown flag --nme of jamesd-ctl add-packet\nhint: Did you mean --name?", []string{"--nme", "x"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := &world{TB: t, dir: w.dir, addr: w.addr, env: w.env}
			w.fails(tc.code, tc.want, append([]string{"add-packet"}, tc.args...)...)
		})
	}
	w.prints("[]\n", "list-packets", "-o", "json")
}

func TestPacketNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.add("v2", "two")
	w.ok("add-packet", "cafe", "--data", w.packet("three"))
	cafe, v1 := w.packets()[0].Digest.String(), w.packets()[1].Digest.String()
	for name, args := range map[string][]string{
		"name and tags":       {"hello", "--tags", "v1"},
		"flags":               {"--name", "hello", "--tags", "v1"},
		"digest":              {v1},
		"digest's beginning":  {v1[:8]},
		"digest as a flag":    {"--digest", v1},
		"beginning as a flag": {"--digest", v1[:8]},
	} {
		if got := w.ok(append([]string{"get-packet"}, args...)...); !strings.Contains(got, "digest:          "+v1) {
			t.Errorf("%s: %s", name, got)
		}
	}
	for name, args := range map[string][]string{"the only one": {"cafe"}, "no tags": {"cafe", "--tags", ""}} {
		if got := w.ok(append([]string{"get-packet"}, args...)...); !strings.Contains(got, cafe) {
			t.Errorf("%s: %s", name, got)
		}
	}
	w.fails(2, "the packet is missing", "get-packet")
	w.fails(2, "cannot get packet hello: there are 2 such packets\nhint: Name one with --tags or --digest: v1 ("+v1[:12]+"); v2 (", "get-packet", "hello")
	w.fails(3, "cannot get packet hello v3: there is no packet hello with exactly the tags v3\nhint: There is: v1 (", "get-packet", "hello", "--tags", "v3")
	w.fails(3, "cannot get packet nothing: there is no packet nothing", "get-packet", "nothing")
	w.fails(3, "cannot get packet 0000: there is no packet of that name", "get-packet", "0000")
	w.fails(3, "cannot get packet ", "get-packet", strings.Repeat("0", 64))
	w.fails(2, "is not 4 or more digits", "get-packet", "--digest", "abc")
	w.fails(2, "not by both", "get-packet", "hello", "--digest", v1)
	w.fails(2, "do not go together", "get-packet", "cafe", "--manifest", "--output-file", "x")
	w.fails(2, `tag: "a b" has`, "get-packet", "hello", "--tags", "a b")
	w.fails(2, `packet name: "a/b" has`, "list-packets", "a/b")
}

func TestDeletePacket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	w.add("v2", "two")
	d := w.packets()[1].Digest.Short()
	w.device()
	w.ok("set-desired-state", "--file", w.file("s.yaml", "id: device-1\napps: [{name: hello, tags: [v1]}]\n"))
	w.prints("packet hello v2 is deleted (digest "+d+")\n", "delete-packet", "hello", "--tags", "v2")
	w.fails(4, "cannot delete packet hello: ", "delete-packet", "hello")
	w.fails(4, "device-1", "delete-packet", "hello")
	w.ok("delete-packet", "hello", "--force")
	w.fails(3, "cannot delete packet hello: there is no packet hello", "delete-packet", "hello")
}

func TestDownload(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.add("v1", "one")
	want, err := os.ReadFile(w.packet("one"))
	w.check(err)
	to := w.file("back.tar.xz", "what was there before")
	w.prints("", "get-packet", "hello", "--output-file", to)
	if got, err := os.ReadFile(to); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if got := w.ok("get-packet", "hello", "--output-file", "-"); got != string(want) {
		t.Errorf("%d bytes, want %d", len(got), len(want))
	}
	w.fails(2, "cannot get packet hello: DIR: is a directory", "get-packet", "hello", "--output-file", w.dir)
	w.fails(2, "cannot get packet hello: DIR/none: there is no such file", "get-packet", "hello", "--output-file", w.path("none/x"))
	if _, err := os.Stat("/dev/full"); err == nil {
		w.fails(1, "cannot get packet hello: /dev/full: no space left on device", "get-packet", "hello", "--output-file", "/dev/full")
	}
	if left, _ := filepath.Glob(w.path(".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// TestUploadInterrupted stops an upload in the middle, as Ctrl-C does.
func TestUploadInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	archive, err := os.ReadFile(w.packet("one"))
	w.check(err)
	in, half := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		half.Write(archive[:len(archive)/2]) // returns when it was read to be sent
		cancel()
	}()
	r := w.runWith(ctx, in, "add-packet", "hello", "--data", "-")
	in.Close()
	if r.code != 130 || r.err != "jamesd-ctl: cannot add packet hello: interrupted\n" || r.out != "" {
		t.Errorf("%+v", r)
	}
	w.prints("[]\n", "list-packets", "-o", "json")

	all := w.runWith(t.Context(), bytes.NewReader(archive), "add-packet", "hello", "--data", "-")
	if all.code != 0 {
		t.Errorf("%+v", all)
	}
}
