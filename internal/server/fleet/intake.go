package fleet

import (
	"errors"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// intake reads from r, copies what it reads to w, and keeps the first error of
// either: what reads from an intake may hide it.
type intake struct {
	r   io.Reader
	w   io.Writer
	n   int64
	err error
}

func (in *intake) Read(p []byte) (int, error) {
	if in.err != nil {
		return 0, in.err
	}
	n, err := in.r.Read(p)
	in.n += int64(n)
	if n > 0 {
		if _, failed := in.w.Write(p[:n]); failed != nil {
			in.err = failed
			return 0, failed
		}
	}
	if err != nil && err != io.EOF {
		in.err = brokenOff(in.n, err)
		return n, in.err
	}
	return n, err
}

// brokenOff returns err as the end of an upload, unless it says itself what it is.
func brokenOff(n int64, err error) error {
	var known *james.Error
	if errors.As(err, &known) {
		return err
	}
	return james.Errorf(james.KindInterrupted, "upload", "broke off after %d bytes: %w", n, err).
		WithHint("Nothing was stored; start again.")
}
