package supply

import (
	"runtime"
	"syscall"
)

// yield makes the calling goroutine's thread give way to all others. The goroutine
// must not return to other work: its thread ends with it.
func yield() {
	runtime.LockOSThread()
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, 10) // of the thread; it goes on without
}
