//go:build !unix

package server

// connections returns how many connections there may be, 0 for no limit.
func (o *options) connections() int { return o.maxConnections }
