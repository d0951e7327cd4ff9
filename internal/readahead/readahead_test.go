package readahead_test

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/readahead"
)

// TestReads: what comes out is what goes in, and then the error, for ever.
func TestReads(t *testing.T) {
	t.Parallel()
	content := bytes.Repeat([]byte("0123456789"), 1000)
	broken := errors.New("the line is cut")
	for name, row := range map[string]struct {
		in   io.Reader
		want error
	}{
		"to its end":         {bytes.NewReader(content), nil},
		"one byte at a time": {iotest.OneByteReader(bytes.NewReader(content)), nil},
		"with the end":       {iotest.DataErrReader(bytes.NewReader(content)), nil},
		"to an error":        {io.MultiReader(bytes.NewReader(content), iotest.ErrReader(broken)), broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := readahead.New(row.in, readahead.Options{Chunk: 700, Chunks: 3})
			defer a.Close()
			got, err := io.ReadAll(a)
			if !bytes.Equal(got, content) || err != row.want {
				t.Errorf("%d of %d bytes, and then %v", len(got), len(content), err)
			}
			if n, err := a.Read(make([]byte, 10)); n != 0 || err == nil || row.want != nil && err != row.want {
				t.Errorf("after the end %d bytes, %v", n, err)
			}
		})
	}
}

// TestAhead: as much is read as there is room for, and no more; who waits, and for how
// long, is told.
func TestAhead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		var full, empty time.Duration
		a := readahead.New(r, readahead.Options{Chunk: 10, Chunks: 3, Full: func(d time.Duration) { full += d }, Empty: func(d time.Duration) { empty += d }})
		written := 0
		go func() {
			time.Sleep(5 * time.Second)
			for range 10 {
				n, _ := w.Write(make([]byte, 10))
				written += n
			}
			w.Close()
		}()
		synctest.Wait()
		if !a.Starved() {
			t.Error("there is something to read before it came")
		}
		buf := make([]byte, 10)
		if n, err := a.Read(buf); n != 10 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		synctest.Wait()
		if written != 30 || a.Starved() {
			t.Errorf("%d bytes were read ahead", written)
		}
		time.Sleep(7 * time.Second)
		if n, err := io.Copy(io.Discard, a); n != 90 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		a.Close()
		if full != 7*time.Second || empty != 5*time.Second {
			t.Errorf("full for %s, empty for %s", full, empty)
		}
	})
}

// TestClose ends a Read that waits, when what is read has ended, and reading ahead.
func TestClose(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		a := readahead.New(r, readahead.Options{Chunk: 10, Chunks: 3})
		failed := make(chan error)
		go func() {
			_, err := a.Read(make([]byte, 10))
			failed <- err
		}()
		synctest.Wait()
		cut := errors.New("cut")
		w.CloseWithError(cut)
		a.Close()
		if err := <-failed; !errors.Is(err, cut) {
			t.Error(err)
		}
		b := readahead.New(endless{}, readahead.Options{Chunk: 10, Chunks: 3})
		synctest.Wait()
		b.Close()
		if n, err := io.Copy(io.Discard, b); n != 30 || !errors.Is(err, readahead.ErrClosed) {
			t.Errorf("%d bytes after the close, and then %v", n, err)
		}
	})
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }
