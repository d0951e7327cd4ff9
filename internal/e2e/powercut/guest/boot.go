package main

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

func sleep(milliseconds int) { time.Sleep(time.Duration(milliseconds) * time.Millisecond) }

// boot makes of a kernel a machine with disks and a network.
func boot() error {
	for _, m := range [][3]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil && err != unix.EBUSY {
			return fmt.Errorf("mount %s: %w", m[0], err)
		}
	}
	if err := rawConsole(); err != nil {
		return err
	}
	order, err := os.ReadFile("/modules/order")
	if err != nil {
		return err
	}
	for name := range strings.FieldsSeq(string(order)) {
		if err := insert("/modules/" + name); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := network(); err != nil {
		return fmt.Errorf("network: %w", err)
	}
	if err := hurry(); err != nil {
		return err
	}
	if err := mount("/dev/vda", root); err != nil {
		return err
	}
	if argument("disks") != "2" {
		return nil
	}
	if err := os.MkdirAll(root+"/var", 0o755); err != nil {
		return err
	}
	return mount("/dev/vdb", root+"/var")
}

// rawConsole makes the serial console pass lines as they are.
func rawConsole() error {
	console, err := os.OpenFile("/dev/ttyS0", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	t, err := unix.IoctlGetTermios(int(console.Fd()), unix.TCGETS)
	if err != nil {
		return fmt.Errorf("console: %w", err)
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON | unix.ISIG
	os.Stdin, os.Stdout, os.Stderr = console, console, console
	return unix.IoctlSetTermios(int(console.Fd()), unix.TCSETS, t)
}

func insert(module string) error {
	file, err := os.Open(module)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := unix.FinitModule(int(file.Fd()), "", 0); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

// argument returns an argument of the machine, from the command line of its
// kernel.
func argument(name string) string {
	raw, _ := os.ReadFile("/proc/cmdline")
	for word := range strings.FieldsSeq(string(raw)) {
		if value, ok := strings.CutPrefix(word, "powercut."+name+"="); ok {
			return value
		}
	}
	return ""
}

// hurry sets after how many hundredths of a second the kernel begins to write
// back what is dirty: the earlier, the more is on its way when the power goes.
func hurry() error {
	age := argument("writeback")
	for _, name := range []string{"dirty_expire_centisecs", "dirty_writeback_centisecs"} {
		if name == "dirty_writeback_centisecs" && age == "3000" {
			age = "500" // the kernel's own settings
		}
		if err := os.WriteFile("/proc/sys/vm/"+name, []byte(age), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// network brings the loopback and the virtual network card up.
func network() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for name, ip := range map[string][4]byte{"lo": {127, 0, 0, 1}, "eth0": {10, 0, 2, 15}} {
		mask := [4]byte{255, 255, 255, 0}
		for _, set := range []struct {
			request uint
			value   [4]byte
		}{{unix.SIOCSIFADDR, ip}, {unix.SIOCSIFNETMASK, mask}} {
			req, err := unix.NewIfreq(name)
			if err != nil {
				return err
			}
			if err := req.SetInet4Addr(set.value[:]); err != nil {
				return err
			}
			if err := ioctl(fd, set.request, req); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		req, err := unix.NewIfreq(name)
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
		if err := ioctl(fd, unix.SIOCSIFFLAGS, req); err != nil {
			return fmt.Errorf("%s up: %w", name, err)
		}
	}
	return nil
}

func ioctl(fd int, request uint, req *unix.Ifreq) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(req)))
	if errno != 0 {
		return errno
	}
	return nil
}

// mount mounts a disk, once the kernel has found it, as a fresh system would.
func mount(disk, at string) error {
	for limit := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(disk); err == nil || time.Now().After(limit) {
			break
		}
	}
	cache, err := os.ReadFile("/sys/block/" + filepath.Base(disk) + "/queue/write_cache")
	if strings.TrimSpace(string(cache)) != "write back" {
		return fmt.Errorf("%s has no write cache that could lose anything: %q, %v", disk, cache, err)
	}
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	if err := unix.Mount(disk, at, "ext4", 0, "errors=remount-ro"); err != nil {
		return fmt.Errorf("mount %s: %w", disk, err)
	}
	return nil
}

// list says what is in the install root, in one line.
func list() error {
	tree, err := load.List(root, stateDir, load.Noise, "lost+found", "var/lost+found")
	if err != nil {
		return err
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return err
	}
	var buf bytes.Buffer
	packed := gzip.NewWriter(&buf)
	packed.Write(raw)
	packed.Close()
	say("tree %s", base64.StdEncoding.EncodeToString(buf.Bytes()))
	return nil
}

// watch says when jamesc begins to fetch a file and when it has got it.
func watch() error {
	dir := filepath.Join(root, stateDir, "agent/blobs")
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		return err
	}
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_CREATE|unix.IN_CLOSE_WRITE); err != nil {
		return err
	}
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := unix.Read(fd, buf)
			if err != nil {
				return
			}
			for at := 0; at+unix.SizeofInotifyEvent <= n; {
				e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
				if e.Mask&unix.IN_CREATE != 0 {
					say("download")
				} else {
					say("downloaded")
				}
				at += unix.SizeofInotifyEvent + int(e.Len)
			}
		}
	}()
	return nil
}
