package ctl_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/ctl"
	"github.com/trusch/jamesd/internal/need"
)

// terminal returns both ends of a pseudo-terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		need.Lack(t, need.Terminals, "there are no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		need.Lack(t, need.Terminals, "there are no pseudo-terminals here: %v", err)
	}
	return master, slave
}

// TestProgressOnATerminal uploads, downloads and builds with a terminal as the
// standard error; every other test has none, and would fail on such output.
func TestProgressOnATerminal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("noise/data", noise(1<<20))
	data := w.path("noise.tar")
	w.ok("build-packet", w.path("noise"), "-o", data)
	for _, args := range [][]string{
		{"add-packet", "hello", "--data", data},
		{"get-packet", "hello", "--output-file", w.path("back.tar.xz")},
		{"build-packet", w.path("noise"), "-o", w.path("again.tar")},
	} {
		master, slave := terminal(t)
		p, done := w.process(strings.NewReader(""), args)
		p.Err = slave
		shown := make(chan []byte)
		go func() {
			var b bytes.Buffer
			io.Copy(&b, master) // ends with an error when the other end is closed
			shown <- b.Bytes()
		}()
		r := done(ctl.Run(t.Context(), p, nil))
		slave.Close()
		if screen := string(<-shown); r.code != 0 || !strings.Contains(screen, "\r") || strings.Contains(screen, "jamesd-ctl:") {
			t.Errorf("%q: %+v, on the screen: %q", args, r, screen)
		}
	}
}
