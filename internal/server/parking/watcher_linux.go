package parking

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// watcher waits for something to happen on any of many connections. It has an epoll
// of its own beside that of the Go runtime, which wakes a goroutine for each.
type watcher struct{ *epoll }

type epoll struct {
	fd   int
	stop int // an eventfd
	done chan struct{}

	mu     sync.Mutex
	last   uint64
	events map[uint64]func()
}

// interest is what is waited for, once.
const interest = unix.EPOLLIN | unix.EPOLLRDHUP | unix.EPOLLONESHOT

func newWatcher() (watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return watcher{}, os.NewSyscallError("epoll_create1", err)
	}
	stop, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err == nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, stop, &unix.EpollEvent{Events: unix.EPOLLIN})
	}
	if err != nil {
		return watcher{}, errors.Join(os.NewSyscallError("eventfd", err), unix.Close(fd))
	}
	e := &epoll{fd: fd, stop: stop, done: make(chan struct{}), events: make(map[uint64]func())}
	go e.run()
	return watcher{e}, nil
}

// add has event called once, in a goroutine of its own, when something has come or
// the peer has hung up, which may be so already.
func (e *epoll) add(conn syscall.RawConn, event func()) (uint64, error) {
	e.mu.Lock()
	e.last++
	number := e.last
	e.events[number] = event
	e.mu.Unlock()
	ev := unix.EpollEvent{Events: interest, Fd: int32(uint32(number)), Pad: int32(number >> 32)}
	var failed error
	err := conn.Control(func(fd uintptr) {
		failed = unix.EpollCtl(e.fd, unix.EPOLL_CTL_ADD, int(fd), &ev)
		if failed == unix.EEXIST { // it was watched before, and is there until it is closed
			failed = unix.EpollCtl(e.fd, unix.EPOLL_CTL_MOD, int(fd), &ev)
		}
	})
	if err = errors.Join(err, os.NewSyscallError("epoll_ctl", failed)); err != nil {
		e.take(number)
		return 0, err
	}
	return number, nil
}

// remove has the event not called, unless it is being called.
func (e *epoll) remove(number uint64) { e.take(number) }

func (e *epoll) take(number uint64) func() {
	e.mu.Lock()
	defer e.mu.Unlock()
	event := e.events[number]
	delete(e.events, number)
	return event
}

func (e *epoll) run() {
	defer close(e.done)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(e.fd, events, -1)
		if err != nil && err != unix.EINTR {
			return // it was closed
		}
		for _, ev := range events[:max(n, 0)] {
			number := uint64(uint32(ev.Fd)) | uint64(uint32(ev.Pad))<<32
			if number == 0 {
				return
			}
			if event := e.take(number); event != nil {
				go event()
			}
		}
	}
}

func (e *epoll) close() {
	unix.Write(e.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	<-e.done
	unix.Close(e.fd)
	unix.Close(e.stop)
}
