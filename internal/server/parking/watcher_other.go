//go:build !linux

package parking

import (
	"errors"
	"syscall"
)

// watcher waits for something to happen on any of many connections.
type watcher struct{}

func newWatcher() (watcher, error) { return watcher{}, errors.ErrUnsupported }

func (watcher) add(syscall.RawConn, func()) (uint64, error) { return 0, errors.ErrUnsupported }
func (watcher) remove(uint64)                               {}
func (watcher) close()                                      {}
