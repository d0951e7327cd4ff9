package xz_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trusch/jamesd/internal/xz"
)

// TestAhead reads blocks of all the sizes that decide whether they are decoded
// ahead, with fewer and more workers than there are blocks.
func TestAhead(t *testing.T) {
	t.Parallel()
	raw := sample(200_000)
	for _, args := range [][]string{
		{"-0", "-T2", "--block-size=10000"},
		{"-6", "-T2", "--block-size=100000"},
		{"-9", "-T2", "--block-size=100000"},
		{"-0", "-T2", "--block-list=1000,90000,1,70000,0"},
		{"-6", "-T1", "--block-size=30000"}, // no sizes in the headers
	} {
		if got := mustUnpack(t, xzTool(t, raw, args...)); !bytes.Equal(got, raw) {
			t.Errorf("%q: something else came out", args)
		}
	}
	mixed := append(xzTool(t, raw, "-0", "-T2", "--block-size=30000"), pack(t, raw)...)
	mixed = append(mixed, xzTool(t, raw, "-0", "-T2", "--block-size=40000", "--check=sha256")...)
	if got := mustUnpack(t, mixed); len(got) != 3*len(raw) {
		t.Errorf("%d bytes came out of three streams", len(got))
	}
}

// TestAheadReadError: what is before a failure of what is read is delivered, and
// then the failure.
func TestAheadReadError(t *testing.T) {
	t.Parallel()
	packed := xzTool(t, sample(200_000), "-0", "-T2", "--block-size=20000")
	broken := errors.New("connection reset")
	for n := 0; n <= len(packed); n += len(packed)/37 + 1 {
		var want []byte
		for _, workers := range []int{1, 3} {
			got, err := unpackWith(io.MultiReader(bytes.NewReader(packed[:n]), iotest.ErrReader(broken)), workers, 5000)
			if !errors.Is(err, broken) {
				t.Errorf("%d workers, after %d bytes: %v", workers, n, err)
			}
			if workers == 1 {
				want = got
			} else if !bytes.Equal(got, want) {
				t.Errorf("after %d bytes %d workers give %d bytes, one gives %d", n, workers, len(got), len(want))
			}
		}
	}
}

// TestAheadClose ends a reader whose workers are busy.
func TestAheadClose(t *testing.T) {
	t.Parallel()
	packed := xzTool(t, sample(4<<20), "-0", "-T2", "--block-size=1000000")
	r := xz.NewReader(bytes.NewReader(packed), xz.Options{MaxWindow: window, Workers: 3})
	if _, err := r.Read(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	closed := make(chan struct{})
	go func() { r.Close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
	if _, err := r.Read(make([]byte, 10)); err == nil || err == io.EOF {
		t.Errorf("read after close: %v", err)
	}
}
