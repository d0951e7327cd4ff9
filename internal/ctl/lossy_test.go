package ctl_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

func listen(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
}

// lossy forwards connections to addr and cuts each of the first few after limit
// bytes from there. It returns its own address and the number of connections.
func lossy(t *testing.T, addr string, few, limit int64) (string, *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var count atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			n := count.Add(1)
			out, err := net.Dial("tcp", addr)
			if err != nil {
				in.Close()
				continue
			}
			go func() { io.Copy(out, in); out.Close() }()
			go func() {
				defer in.Close()
				defer out.Close()
				if n <= few {
					io.CopyN(in, out, limit)
					return
				}
				io.Copy(in, out)
			}()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return l.Addr().String(), &count
}

// noise returns n bytes that cannot be compressed.
func noise(n int) string {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{1}).Read(b)
	return string(b)
}

// TestDownloadGoesOn loses the connection three times in one download.
func TestDownloadGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.file("noise/data", noise(3<<20))
	w.ok("build-packet", w.path("noise"), "-o", w.path("noise.tar"))
	w.ok("add-packet", "noise", "--data", w.path("noise.tar"))
	addr, count := lossy(t, w.addr, 3, 900_000)
	w.with(t, "JAMESD_ADDR", addr).prints("", "get-packet", "noise", "--output-file", w.path("back.tar"))
	want, err := os.ReadFile(w.path("noise.tar"))
	w.check(err)
	if got, err := os.ReadFile(w.path("back.tar")); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%d bytes, %v; want %d", len(got), err, len(want))
	}
	if n := count.Load(); n != 4 {
		t.Errorf("%d connections, want 4", n)
	}
}
