package archive

import (
	"bufio"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"io"
	"slices"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/xz"
	"github.com/trusch/jamesd/pkg/james"
)

// maxWindow bounds, in bytes, how far back a stream may refer, which is what a
// decompressor has to keep in memory. It is what "xz -9" asks for.
const maxWindow = 64 << 20

// decompressor returns the content of the archive src, and a function that
// releases what it holds. Its Read ends with io.EOF only at the end of src,
// after all checksums. workers is how many blocks of xz it may decode at a time.
func decompressor(format string, src *bufio.Reader, workers int) (io.Reader, func(), error) {
	nothing := func() {}
	switch format {
	case FormatXz:
		r := xz.NewReader(src, xz.Options{MaxWindow: maxWindow, Workers: workers})
		return r, func() { _ = r.Close() }, nil
	case FormatGzip:
		r, err := gzip.NewReader(src)
		return r, nothing, err
	case FormatBzip2:
		return bzip2.NewReader(src), nothing, nil
	case FormatZstd:
		// One at a time: no goroutines, and no blocks decoded ahead.
		r, err := zstd.NewReader(src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(maxWindow))
		if err != nil {
			return nil, nothing, err
		}
		return r, r.Close, nil
	}
	return src, nothing, nil
}

// The errors with which a decompressor that has ended a stream finds that no
// other one follows.
var noStream = []error{gzip.ErrHeader, zstd.ErrMagicMismatch, xz.ErrMagic, bzip2.StructuralError("bad magic value in continuation file")}

// streamError says what a decompressor's error means. where is the place in the
// archive at which it came; begun tells whether there was any content before.
func streamError(format, where string, begun bool, err error) error {
	var known *james.Error
	var window *xz.WindowError
	switch {
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return invalid("the %s stream ends too early, %s; the archive is truncated", format, where)
	case errors.As(err, &window):
		return invalid("%w", err).WithHint("Compress it with xz -9 or less.")
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		return invalid("the zstd stream needs a window of more than %d MiB", maxWindow>>20).
			WithHint("Compress it with zstd -19 or less, and without --long.")
	case errors.Is(err, xz.ErrFilter):
		return invalid("%w", err).WithHint("Compress it with xz alone, without --x86, --arm, --delta or the like.")
	case begun && slices.ContainsFunc(noStream, func(e error) bool { return errors.Is(err, e) }):
		return invalid("there is something else after the %s stream, %s", format, where)
	}
	return invalid("the %s stream is damaged, %s: %w", format, where, err)
}

func invalid(format string, args ...any) *james.Error {
	return james.Errorf(james.KindInvalid, "archive", format, args...)
}
