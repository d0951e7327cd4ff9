package linktest_test

import (
	"bytes"
	"errors"
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/e2e/linktest"
)

const size = 1 << 20

// serve sends size bytes to everybody.
func serve(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, bytes.NewReader(make([]byte, size)))
			}()
		}
	}()
	return l.Addr().String()
}

func read(t *testing.T, p *linktest.Proxy) int64 {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if errors.Is(err, syscall.ECONNRESET) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	n, _ := io.Copy(io.Discard, c)
	return n
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		link linktest.Link
		want []int64 // what connections bring, one after the other
	}{
		"a good one":     {linktest.Link{}, []int64{size, size}},
		"the first cut":  {linktest.Link{First: 1000}, []int64{1000, size, size}},
		"each cut":       {linktest.Link{Each: 1000}, []int64{1000, 1000, 1000}},
		"a slow one":     {linktest.Link{Rate: 10 << 20}, []int64{size}},
		"none is reset":  {linktest.Link{Reset: 0, ResetWithin: 10}, []int64{size}},
		"the end is cut": {linktest.Link{Each: size}, []int64{size}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			row.link.Target = serve(t)
			p, err := linktest.Listen(row.link)
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			begun, sum := time.Now(), int64(0)
			for _, want := range row.want {
				if got := read(t, p); got != want {
					t.Errorf("got %d bytes, not %d", got, want)
				}
				sum += want
			}
			if bytes, connections := p.Carried(); bytes != sum || connections != int64(len(row.want)) {
				t.Errorf("carried %d bytes over %d connections", bytes, connections)
			}
			if took := time.Since(begun); row.link.Rate > 0 && took < 70*time.Millisecond {
				t.Errorf("it took only %s", took)
			}
		})
	}
}

func TestReset(t *testing.T) {
	t.Parallel()
	p, err := linktest.Listen(linktest.Link{Target: serve(t), Reset: 50, ResetWithin: 1000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	whole := 0
	for range 20 {
		if read(t, p) == size {
			whole++
		}
	}
	if whole < 3 || whole > 17 || p.Resets() != int64(20-whole) {
		t.Errorf("%d of 20 connections were not reset, %d were", whole, p.Resets())
	}
}

// TestResetAndCut: what is not reset is cut where all are.
func TestResetAndCut(t *testing.T) {
	t.Parallel()
	p, err := linktest.Listen(linktest.Link{Target: serve(t), Each: 100_000, Reset: 5, ResetWithin: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cut := int64(0)
	for range 100 {
		if read(t, p) == 100_000 {
			cut++
		}
	}
	if resets := p.Resets(); resets < 1 || resets > 15 || cut+resets != 100 {
		t.Errorf("of 100 connections %d were reset and %d cut", resets, cut)
	}
}
