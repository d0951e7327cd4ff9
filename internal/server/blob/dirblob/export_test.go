package dirblob

import "github.com/trusch/jamesd/internal/server/blob"

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
