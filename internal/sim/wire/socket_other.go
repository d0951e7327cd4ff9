//go:build !linux

package wire

func choosePortLate(uintptr) {}

func shrink(uintptr, bool) {}
