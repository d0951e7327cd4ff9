//go:build !linux

package supply

// yield does nothing where threads have no priorities of their own.
func yield() {}
