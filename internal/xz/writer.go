package xz

import (
	"io"

	"github.com/ulikunitz/xz"
)

// NewWriter returns a writer that compresses to w as well as it can, always in
// the same way for the same bytes. dictionary is how far back, in bytes, the
// stream refers, and so what it takes to read it.
func NewWriter(w io.Writer, dictionary int) (io.WriteCloser, error) {
	return xz.WriterConfig{DictCap: dictionary, CheckSum: xz.CRC64}.NewWriter(w)
}
