//go:build !unix

package server

// connections returns how many connections there may be, 0 for no limit.
func (l *limits) connections() int { return l.maxConnections }
