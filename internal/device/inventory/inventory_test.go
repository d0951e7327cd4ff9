package inventory_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/trusch/jamesd/internal/device/inventory"
	"github.com/trusch/jamesd/pkg/james"
)

const banner = "GNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCopyright"

// put makes the files of a root directory: "-> T" is a symbolic link to T, "/"
// a directory, anything else is content.
func put(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		err := error(nil)
		if target, ok := strings.CutPrefix(content, "-> "); ok {
			err = os.Symlink(target, file)
		} else if content == "/" {
			err = os.MkdirAll(file, 0o755)
		} else {
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// deep returns content with text at an offset, among bytes that match nothing.
func deep(offset int, text string) string {
	return string(bytes.Repeat([]byte{0xff}, offset)) + text + strings.Repeat("\xfe", 1000)
}

func TestTags(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		files map[string]string
		want  string
	}{
		"nothing to see": {want: "riscv64"},
		"debian 12": {
			files: map[string]string{
				"usr/lib/x86_64-linux-gnu/libc.so.6": deep(1<<20, banner),
				"lib":                                "-> usr/lib",
				"usr/sbin/init":                      "-> /lib/systemd/systemd",
				"sbin":                               "-> usr/sbin",
				"usr/lib/os-release":                 "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n",
				"etc/os-release":                     "-> ../usr/lib/os-release",
			},
			want: "debian-12,glibc-2.36,riscv64,systemd",
		},
		"glibc by the name of its file": {
			files: map[string]string{
				"lib/arm-linux-gnueabihf/libc.so.6":    "-> libc-2.23.so",
				"lib/arm-linux-gnueabihf/libc-2.23.so": "\x7fELF",
			},
			want: "glibc-2.23,riscv64",
		},
		"glibc's banner across two windows": {
			files: map[string]string{"lib64/libc.so.6": deep(128<<10-30, banner)},
			want:  "glibc-2.36,riscv64",
		},
		"glibc of a development release": {
			files: map[string]string{"lib/libc.so.6": "GNU C Library (Gentoo) development release version 2.37.9000.\n"},
			want:  "glibc-2.37,riscv64",
		},
		"libc.so.6 through an absolute link": {
			files: map[string]string{"lib/libc.so.6": "-> /opt/libc.so", "opt/libc.so": banner},
			want:  "glibc-2.36,riscv64",
		},
		"alpine with gcompat": {
			files: map[string]string{
				"lib/ld-musl-armhf.so.1":     deep(500_000, "127.0.0.1\x00\x001.2.4_git20230717\x00\x001.2.4\x00musl libc"),
				"lib/ld-linux-armhf.so.3":    "-> libgcompat.so.0",
				"lib/libgcompat.so.0":        "\x7fELF",
				"sbin/init":                  "-> /bin/busybox",
				"sbin/openrc":                "#!",
				"etc/os-release":             "ID=alpine\nVERSION_ID=3.18.4\n",
				"lib/ld-musl-armhf.so.1.bak": "\x000.9.0\x00",
			},
			want: "alpine-3.18.4,musl-1.2,openrc,riscv64",
		},
		"glibc with musl beside it": {
			files: map[string]string{"lib/ld-musl-x86_64.so.1": "\x001.2.3\x00", "lib/libc.so.6": banner},
			want:  "glibc-2.36,riscv64",
		},
		"a rolling release":      {files: map[string]string{"etc/os-release": "ID='arch'\nVERSION_ID=\n"}, want: "arch,riscv64"},
		"os-release of usr only": {files: map[string]string{"usr/lib/os-release": "# x\nID=\"Fedora\"\nVERSION_ID=40"}, want: "fedora-40,riscv64"},
		"an os-release without an id": {
			files: map[string]string{"etc/os-release": "VERSION_ID=1\n=\n"},
			want:  "riscv64",
		},
		"an id that cannot be a tag": {files: map[string]string{"etc/os-release": "ID=my os\nVERSION_ID=1\n"}, want: "riscv64"},
		"systemd runs":               {files: map[string]string{"run/systemd/system": "/", "sbin/init": "x"}, want: "riscv64,systemd"},
		"openrc runs under sysvinit": {files: map[string]string{"run/openrc": "/", "sbin/init": "x", "etc/inittab": "x"}, want: "openrc,riscv64"},
		"runit":                      {files: map[string]string{"sbin/init": "-> runit-init"}, want: "riscv64,runit"},
		"busybox":                    {files: map[string]string{"sbin/init": "-> ../bin/busybox"}, want: "busybox,riscv64"},
		"sysvinit":                   {files: map[string]string{"sbin/init": "x", "etc/inittab": "x"}, want: "riscv64,sysvinit"},
		"directories where files are expected": {
			files: map[string]string{"etc/os-release": "/", "lib/libc.so.6": "/", "lib/ld-musl-x.so.1": "/", "sbin/init": "/"},
			want:  "riscv64",
		},
		"links in a circle": {
			files: map[string]string{"etc/os-release": "-> os-release", "lib": "-> lib", "sbin": "-> /sbin"},
			want:  "riscv64",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := inventory.Host{Root: put(t, tc.files), Machine: "riscv64"}
			if got := h.Tags().String(); got != tc.want {
				t.Errorf("tags are %s, want %s", got, tc.want)
			}
		})
	}
}

// A link that leads out of the root must not show the tester's own system.
func TestTagsStayInRoot(t *testing.T) {
	t.Parallel()
	outside := put(t, map[string]string{"os-release": "ID=outside\n"})
	root := put(t, map[string]string{
		"etc/os-release":     "-> " + outside + "/os-release",
		"usr/lib/os-release": "-> ../../../../../../.." + outside + "/os-release",
	})
	if got := (inventory.Host{Root: root, Machine: "m"}).Tags().String(); got != "m" {
		t.Errorf("tags are %s, want m", got)
	}
}

// A named pipe blocks who opens it; nobody writes to this one.
func TestTagsDoNotBlock(t *testing.T) {
	t.Parallel()
	root := put(t, map[string]string{"etc": "/", "lib": "/"})
	for _, name := range []string{"etc/os-release", "lib/libc.so.6"} {
		if err := syscall.Mkfifo(filepath.Join(root, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := (inventory.Host{Root: root, Machine: "m"}).Tags().String(); got != "m" {
		t.Errorf("tags are %s, want m", got)
	}
}

func TestMachine(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ kernel, arch, variant, want string }{
		"as the kernel says":                  {"x86_64", "amd64", "", "x86_64"},
		"a build for 64-bit arm":              {"aarch64", "arm64", "", "aarch64"},
		"an armv7 kernel":                     {"armv7l", "arm", "5", "armv7l"},
		"armv7 programs on a 64-bit kernel":   {"aarch64", "arm", "7", "armv7l"},
		"armv6 programs on a 64-bit kernel":   {"aarch64", "arm", "6,softfloat", "armv6l"},
		"armv5 programs on a 64-bit kernel":   {"armv8l", "arm", "5", "armv5tel"},
		"32-bit arm of an unknown variant":    {"aarch64", "arm", "", "armv7l"},
		"32-bit programs on a x86_64 kernel":  {"x86_64", "386", "", "i686"},
		"32-bit programs on a mips64 kernel":  {"mips64", "mipsle", "", "mips"},
		"a machine whose name is not a tag":   {"a b", "arm64", "", ""},
		"a mips kernel names both byte order": {"mips", "mipsle", "", "mips"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := inventory.Host{Root: t.TempDir(), Machine: tc.kernel, Arch: tc.arch, Variant: tc.variant}
			if got := h.Tags().String(); got != tc.want {
				t.Errorf("machine is %q, want %q", got, tc.want)
			}
		})
	}
}

// On the machine of the tests the tags are what its own tools say.
func TestTagsOfThisMachine(t *testing.T) {
	t.Parallel()
	tags := inventory.Host{}.Tags()
	if out, err := exec.Command("uname", "-m").Output(); err == nil {
		if want := james.Tag(strings.TrimSpace(string(out))); !tags.Has(want) {
			t.Errorf("tags %s lack %s, which uname -m says", tags, want)
		}
	}
	if out, err := exec.Command("getconf", "GNU_LIBC_VERSION").Output(); err == nil { // "glibc 2.36"
		if want := james.Tag(strings.ReplaceAll(strings.TrimSpace(string(out)), " ", "-")); !tags.Has(want) {
			t.Errorf("tags %s lack %s, which getconf says", tags, want)
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	detect := func() james.TagSet { return james.MustTags("armv7l,systemd") }
	never := func() james.TagSet { panic("detected although nobody asked") }
	for name, tc := range map[string]struct {
		list   string
		detect func() james.TagSet
		want   string
		kind   james.Kind
	}{
		"detected only":       {list: "auto", detect: detect, want: "armv7l,systemd"},
		"detected and more":   {list: "gpu, auto,systemd", detect: detect, want: "armv7l,gpu,systemd"},
		"exactly these":       {list: "b,a", detect: never, want: "a,b"},
		"none":                {list: "", detect: never, want: ""},
		"a malformed tag":     {list: "auto,a b", detect: never, kind: james.KindInvalid},
		"too many with these": {list: "auto" + many(james.MaxTags-1), detect: detect, kind: james.KindInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := inventory.Select(tc.list, tc.detect)
			if james.KindOf(err) != tc.kind {
				t.Fatalf("error is %v, want kind %q", err, tc.kind)
			}
			if got.String() != tc.want {
				t.Errorf("tags are %s, want %s", got, tc.want)
			}
		})
	}
}

func many(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(",t" + strings.Repeat("x", i))
	}
	return b.String()
}
