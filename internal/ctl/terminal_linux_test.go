package ctl_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

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

// TestTopOnATerminal: it draws on the terminal's other screen, goes on with what
// happens and with the terminal's size, and leaves the terminal as it was.
func TestTopOnATerminal(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"q", "\x03"} {
		w := newWorld(t)
		master, slave := terminal(t)
		resize := func(rows, columns uint16) {
			w.check(unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}))
		}
		resize(24, 80)
		before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		w.check(err)
		p, _ := w.process(slave, []string{"top", "--interval", "500ms"})
		p.Out = slave
		ended := make(chan int, 1)
		go func() { ended <- ctl.Run(t.Context(), p, time.Now) }()
		shown := ""
		await := func(text string) {
			t.Helper()
			for b := make([]byte, 4096); !strings.Contains(shown, text); {
				n, err := master.Read(b)
				w.check(err)
				shown += string(b[:n])
			}
			_, shown, _ = strings.Cut(shown, text)
		}
		await("\x1b[?1049h\x1b[?25l")
		await("0 devices, 0 packets")
		w.device()
		await("1 device, 0 packets")
		resize(24, 40)
		await("jamesd")
		_, err = master.WriteString(key)
		w.check(err)
		await("\x1b[?25h\x1b[?1049l")
		if code := <-ended; code != 0 {
			t.Errorf("%q ended it with %d", key, code)
		}
		after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
		w.check(err)
		if *after != *before {
			t.Errorf("the terminal was %+v, and is %+v", before, after)
		}
		slave.Close()
	}
}
