package ctl_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/ctl"
)

// local is a world without a server.
func local(t *testing.T) *world {
	dir := t.TempDir()
	return &world{TB: t, dir: dir, addr: "no address", env: map[string]string{"HOME": dir}}
}

func TestMainIsTheSame(t *testing.T) {
	t.Parallel()
	w := local(t)
	for code, args := range map[int][]string{0: {"version"}, 2: {"frobnicate"}} {
		p, done := w.process(strings.NewReader(""), args)
		if r := done(ctl.Main(p)); r.code != code || (r.out == "") == (code == 0) {
			t.Errorf("%q: %+v", args, r)
		}
	}
}

func TestPkiCommands(t *testing.T) {
	t.Parallel()
	w := local(t)
	dir := w.path("pki")
	w.prints("DIR/pki/ca.crt\nDIR/pki/ca.key\n", "pki", "init", "--dir", dir)
	w.prints("DIR/pki/jamesd.crt\nDIR/pki/jamesd.key\n", "pki", "add-server", "jamesd", "--dir", dir, "--san", "a.example.com,10.0.0.1", "--san", "b.example.com")
	w.prints("DIR/pki/device-1.crt\nDIR/pki/device-1.key\n", "--cmd", "pki add-client", "--name", "device-1", "--dir", dir)
	w.prints("DIR/pki/root.crt\nDIR/pki/root.key\n", "pki", "--dir", dir, "add-admin", "root", "--days", "10")
	raw, err := os.ReadFile(w.pki("jamesd.crt"))
	w.check(err)
	block, _ := pem.Decode(raw)
	cert, err := x509.ParseCertificate(block.Bytes)
	w.check(err)
	for _, name := range []string{"jamesd", "a.example.com", "10.0.0.1", "b.example.com", "localhost"} {
		if err := cert.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
	raw, err = os.ReadFile(w.pki("root.crt"))
	w.check(err)
	block, _ = pem.Decode(raw)
	if cert, err = x509.ParseCertificate(block.Bytes); err != nil || time.Until(cert.NotAfter) > 10*24*time.Hour {
		t.Errorf("valid until %s, %v", cert.NotAfter, err)
	}
	w.fails(4, "cannot make an authority in DIR/pki: DIR/pki/ca.crt: exists and is never overwritten\nhint: ", "pki", "init", "--dir", dir)
	w.fails(4, "cannot add client device-1: DIR/pki/device-1.crt: exists", "pki", "add-client", "device-1", "--dir", dir)
	w.fails(3, "cannot add admin x: DIR/none: holds no authority (ca.crt)\nhint: Make one with: jamesd-ctl pki init --dir DIR/none", "pki", "add-admin", "x", "--dir", w.path("none"))
	w.fails(2, "cannot add client a/b: device id", "pki", "add-client", "a/b", "--dir", dir)
	w.fails(2, "cannot add server a/b: host name", "pki", "add-server", "a/b", "--dir", dir)
	w.fails(2, "cannot add client x: it cannot be valid for 0 days", "pki", "add-client", "x", "--dir", dir, "--days", "0")
	w.fails(2, "the name is missing", "pki", "add-client", "--dir", dir)
	w.fails(2, "takes no argument", "pki", "init", "x", "--dir", dir)
	if out := w.ok("pki"); !strings.Contains(out, "add-server") {
		t.Error(out)
	}
}

func TestBuildPacket(t *testing.T) {
	t.Parallel()
	w := local(t)
	w.file("root/etc/x.conf", "x\n")
	w.file("root/usr/bin/hello", strings.Repeat("hello\n", 1000))
	build := func(name string, args ...string) []byte {
		t.Helper()
		w.prints("DIR/"+name+"\n", append([]string{"build-packet", w.path("root"), "-o", w.path(name)}, args...)...)
		raw, err := os.ReadFile(w.path(name))
		w.check(err)
		return raw
	}
	first := build("a.tar.xz")
	w.check(os.Chtimes(w.path("root/etc/x.conf"), noon, noon))
	if !bytes.Equal(first, build("a.tar.xz")) {
		t.Error("the same tree gave another archive")
	}
	dated := w.with(t, "SOURCE_DATE_EPOCH", "1700000000")
	dated.ok("build-packet", "--dir", w.path("root"), "-o", w.path("b.tar.xz"))
	for name, format := range map[string]string{"a.tar.xz": "xz", "a.tar.zst": "zstd", "a.tar.gz": "gzip", "a.tar": "tar", "plain": "xz", "b.tar.xz": "xz"} {
		raw, err := os.ReadFile(w.path(name))
		if err != nil {
			raw = build(name)
		}
		entries, got, err := archive.Scan(t.Context(), bytes.NewReader(raw), archive.DefaultLimits())
		if err != nil || got != format || len(entries) != 5 {
			t.Errorf("%s: %q, %v, %v", name, got, entries, err)
		}
		if want := map[bool]int64{true: 1700000000, false: 1}[name == "b.tar.xz"]; entries[1].Time.Unix() != want {
			t.Errorf("%s: time %d, want %d", name, entries[1].Time.Unix(), want)
		}
	}
	if got := w.ok("build-packet", w.path("root"), "-o", "-"); got != string(first) {
		t.Errorf("%d bytes on the standard output, want %d", len(got), len(first))
	}
	old := w.file("old.tar.xz", "what was there before")
	w.check(os.Mkdir(w.path("odd"), 0o700))
	listen(t, w.path("odd/socket"))
	w.fails(2, "cannot build a packet of DIR/odd: ", "build-packet", w.path("odd"), "-o", old)
	if raw, err := os.ReadFile(old); err != nil || string(raw) != "what was there before" {
		t.Errorf("a failure left %.40q, %v", raw, err)
	}
	w.fails(2, "the dir is missing", "build-packet")
	w.fails(2, "cannot build a packet of DIR/none: there is no such file", "build-packet", w.path("none"))
	w.fails(2, "cannot build a packet of DIR/old.tar.xz: it is not a directory", "build-packet", old)
	w.fails(2, "the compression is not known", "build-packet", w.path("root"), "-o", w.path("a.tar.lz4"))
	w.fails(2, "lies in the directory itself", "build-packet", w.path("root"), "-o", w.path("root/etc/a.tar.xz"))
	w.fails(2, "DIR/none: there is no such file", "build-packet", w.path("root"), "-o", w.path("none/a.tar.xz"))
	w.fails(2, "is a directory, a file is wanted", "build-packet", w.path("root"), "-o", w.path("odd"))
	dated.env["SOURCE_DATE_EPOCH"] = "now"
	dated.fails(2, `SOURCE_DATE_EPOCH: "now" is not a number of seconds`, "build-packet", w.path("root"), "-o", old)
	if left, _ := filepath.Glob(w.path(".*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}
