package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// initramfs writes the first root of a machine, as a cpio archive of the format
// that the kernel calls newc.
type initramfs struct {
	w     io.Writer
	count int
	err   error
}

// file adds what the file from holds.
func (a *initramfs) file(name, from string, mode uint32) {
	content, err := os.ReadFile(from)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.add(name, 0o100000|mode, 0, 0, content)
}

func (a *initramfs) dir(name string) { a.add(name, 0o040755, 0, 0, nil) }

// link adds a symbolic link.
func (a *initramfs) link(name, target string) { a.add(name, 0o120777, 0, 0, []byte(target)) }

// char adds a character device.
func (a *initramfs) char(name string, major, minor int) { a.add(name, 0o020600, major, minor, nil) }

func (a *initramfs) add(name string, mode uint32, major, minor int, content []byte) {
	a.count++
	var b bytes.Buffer
	fmt.Fprintf(&b, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		a.count, mode, 0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0)
	b.WriteString(name + "\x00")
	pad(&b)
	b.Write(content)
	pad(&b)
	if a.err == nil {
		_, a.err = a.w.Write(b.Bytes())
	}
}

func pad(b *bytes.Buffer) { b.Write(make([]byte, (4-b.Len()%4)%4)) }

func (a *initramfs) end() error {
	a.add("TRAILER!!!", 0, 0, 0, nil)
	return a.err
}

// writeInitramfs makes the first root of all machines: jamesc, the guest, the
// modules of the kernel, and the keys of all devices.
func writeInitramfs(to, bin, pki string, ids []string, k *kernel) error {
	modules, err := k.needed()
	if err != nil {
		return err
	}
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	a := &initramfs{w: out}
	for _, dir := range []string{"bin", "dev", "proc", "sys", "disk", "modules", "pki"} {
		a.dir(dir)
	}
	a.char("dev/console", 5, 1)
	a.file("init", filepath.Join(bin, "guest"), 0o755)
	a.link("bin/script", "/init")
	a.file("bin/jamesc", filepath.Join(bin, "jamesc"), 0o755)
	var order strings.Builder
	for _, module := range modules {
		fmt.Fprintln(&order, filepath.Base(module))
		a.file("modules/"+filepath.Base(module), module, 0o644)
	}
	a.add("modules/order", 0o100644, 0, 0, []byte(order.String()))
	a.file("pki/ca.crt", filepath.Join(pki, "ca.crt"), 0o644)
	for _, id := range ids {
		a.file("pki/"+id+".crt", filepath.Join(pki, id+".crt"), 0o644)
		a.file("pki/"+id+".key", filepath.Join(pki, id+".key"), 0o600)
	}
	return a.end()
}
