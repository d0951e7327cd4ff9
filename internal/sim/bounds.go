package sim

import (
	"context"
	"fmt"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// spareFiles are what the program opens besides connections: of the admin, of the
// runtime, of the shell.
const spareFiles = 100

// connections returns how many connections may be open. It fails where a device that
// keeps its own would get none.
func (s *settings) connections() (int, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, james.Errorf(james.KindInternal, "open files", "%w", err)
	}
	n := int(min(uint64(limit.Cur), 2*maxDevices)) - spareFiles
	if s.keepAlive == 0 && s.mode == modePoll && n > 0 {
		return min(n, s.devices), nil
	}
	if s.devices > n {
		return 0, james.Errorf(james.KindInvalid, "--devices", "%d connections and %d other files cannot be open, the limit is %d", s.devices, spareFiles, limit.Cur).
			WithHint("Raise it (ulimit -n), take fewer devices, or have connections closed after each answer: --mode poll --keep-alive 0s.")
	}
	return s.devices, nil
}

// sourcesFor returns the own addresses that the connections are spread over, none where
// any will do. On loopback there are as many as are needed; elsewhere there is one, and
// it fails where that has too few ports.
func sourcesFor(addr string, connections int) ([]net.IP, error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, james.Errorf(james.KindInvalid, "--addr", "%w", err)
	}
	ports := localPorts()
	each := ports * 2 / 3 // others need ports, too, and those of closed connections stay taken for a while
	if connections <= each {
		return nil, nil
	}
	ip := net.ParseIP(host).To4()
	if ip == nil || !ip.IsLoopback() {
		if connections <= ports {
			return nil, nil
		}
		return nil, james.Errorf(james.KindInvalid, "--devices", "%d connections to %s need as many ports, this machine has %d for one address", connections, addr, ports).
			WithHint("Widen net.ipv4.ip_local_port_range, run jamesd-sim on several machines with --prefix, or take fewer devices.")
	}
	var sources []net.IP
	for n := range (connections + each - 1) / each {
		sources = append(sources, net.IPv4(127, 0, byte(1+n/250), byte(1+n%250)))
	}
	return sources, nil
}

// localPorts returns how many ports the system chooses from.
func localPorts() int {
	const standard = 28_000
	raw, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	var first, last int
	if err != nil {
		return standard
	}
	if _, err := fmt.Sscan(string(raw), &first, &last); err != nil || last <= first {
		return standard
	}
	return last - first + 1
}

// reach returns which of the addresses of a server answers, or the first one where none
// does: it may come yet.
func reach(ctx context.Context, addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", james.Errorf(james.KindInvalid, "--addr", "%w", err)
	}
	all, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		return "", james.Errorf(james.KindUnavailable, host, "%w", cause(err)).WithHint("Check the name that --addr gives.")
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for _, one := range all {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(one, port))
		if err == nil {
			conn.Close()
			return net.JoinHostPort(one, port), nil
		}
	}
	return net.JoinHostPort(all[0], port), nil
}

// cause returns what a look-up says without the names that are said already.
func cause(err error) error {
	if d, ok := err.(*net.DNSError); ok {
		return fmt.Errorf("%s", d.Err)
	}
	return err
}
