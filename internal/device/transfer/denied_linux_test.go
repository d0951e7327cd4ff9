package transfer_test

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// TestUnreadable: a content that an undone transaction has left with a mode that
// denies it to an agent which is not the superuser is fetched anew, and so is a part of
// one that cannot be read to go on from.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(path string){
		"whole": func(string) {},
		"part":  func(path string) { must(t, os.Truncate(path, 500)) },
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); testUnreadable(t, change) })
	}
}

func testUnreadable(t *testing.T, change func(path string)) {
	p := smallPacket(t, "p", 1, 1000)
	s, d := newServer(p), newDevice(t)
	var err error
	d.dir, err = os.MkdirTemp("", "unreadable") // above it, others may pass
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(d.dir) })
	must(t, os.Chmod(d.dir, 0o777))
	must(t, d.start(s).Fetch(t.Context(), order(p.want())))
	must(t, os.Chmod(d.dir+"/blobs", 0o777))
	for _, name := range d.names() {
		change(d.dir + "/blobs/" + name)
		must(t, os.Chmod(d.dir+"/blobs/"+name, 0))
	}
	f, o, ended := d.start(s), order(p.want()), make(chan error)
	go func() {
		if os.Geteuid() == 0 {
			runtime.LockOSThread() // for good: the thread ends with the goroutine
			if _, err := unix.SetfsuidRetUid(65534); err != nil {
				ended <- err
				return
			}
		}
		ended <- f.Fetch(t.Context(), o)
	}()
	must(t, <-ended)
	d.check(f, []*packet{p}, o)
}
