package wire

import "golang.org/x/sys/unix"

// slowBuffer is what the kernel takes in for a slow reader, in bytes; it makes the
// double of it.
const slowBuffer = 4 << 10

// choosePortLate has the port of an own address chosen when the server's is known, so
// that it must not be free for all servers.
func choosePortLate(fd uintptr) {
	_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1) // of IPv4 only
}

func shrink(fd uintptr, slow bool) {
	if slow {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, slowBuffer) // a wish
	}
}
