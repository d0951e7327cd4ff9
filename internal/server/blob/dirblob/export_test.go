package dirblob

import (
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// FailWrites lets w write n more bytes and then fail with err, as a disk does.
func FailWrites(w blob.Writer, n int, err error) {
	f := w.(*writer)
	f.out = &failing{out: f.out.Write, left: n, err: err}
}

type failing struct {
	out  func([]byte) (int, error)
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) <= f.left {
		f.left -= len(p)
		return f.out(p)
	}
	n, err := f.out(p[:f.left])
	f.left -= n
	if err == nil {
		err = f.err
	}
	return n, err
}

// ReadError returns what an error means that came of reading a blob.
func ReadError(s blob.Store, digest james.Digest, err error) error {
	return s.(*store).openError(digest, err)
}
