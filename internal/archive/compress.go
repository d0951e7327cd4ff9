package archive

import (
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/xz"
	"github.com/trusch/jamesd/pkg/james"
)

// dictionary is how far back, in bytes, a stream that Build makes refers, and so
// what a device needs to unpack it.
const dictionary = 8 << 20

// compressor returns a writer that compresses to w, always in the same way for
// the same bytes.
func compressor(format string, w io.Writer) (io.WriteCloser, error) {
	switch format {
	case "", FormatXz:
		return xz.NewWriter(w, dictionary)
	case FormatZstd:
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBestCompression),
			zstd.WithWindowSize(dictionary), zstd.WithEncoderCRC(true))
	case FormatGzip:
		return gzip.NewWriterLevel(w, gzip.BestCompression)
	case FormatTar:
		return plain{w}, nil
	}
	return nil, james.Errorf(james.KindInvalid, "format "+format, "is none of xz, zstd, gzip, tar")
}

type plain struct{ io.Writer }

func (plain) Close() error { return nil }
