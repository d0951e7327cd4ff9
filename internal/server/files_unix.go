//go:build unix

package server

import "syscall"

// otherFiles are open files that are no connections: of the store, the cache, and
// contents on their way.
const otherFiles = 512

// connections returns how many connections there may be. Go has raised the limit of open
// files to the highest that the process may have.
func (l *limits) connections() int {
	if l.maxConnections > 0 {
		return l.maxConnections
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil || limit.Cur > 1<<30 {
		return 0
	}
	files := int(limit.Cur)
	return max(files-otherFiles, files/2)
}
