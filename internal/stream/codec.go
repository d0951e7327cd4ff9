package stream

import (
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/xz"
)

// Window is how far back a stream refers, in bytes.
const Window = 8 << 20

// Codec is how a stream is compressed. Its value is the byte that names it.
type Codec byte

// The codecs. Zstd decodes ten times as fast as XZ; XZ makes streams that are
// a tenth to a sixth smaller.
const (
	Zstd Codec = 'z'
	XZ   Codec = 'x'
)

// String returns the codec's name.
func (c Codec) String() string {
	switch c {
	case Zstd:
		return "zstd"
	case XZ:
		return "xz"
	}
	return "unknown"
}

// Level says how much work making a stream may be.
type Level int

// The levels. A stream that is made while a device waits is Fast; Best takes ten times
// as long, and pays for what is made ahead or sent often. XZ knows only one level.
const (
	Fast Level = iota
	Best
)

var (
	magic   = [3]byte{'J', 'B', 'S'}
	version = byte(1)
)

const prefixSize = len(magic) + 2

// compressor is a codec's writer. Flush lets a reader have all that was written so far.
type compressor interface {
	io.WriteCloser
	Flush() error
}

func newCompressor(w io.Writer, codec Codec, level Level) (compressor, error) {
	if codec == XZ {
		return xz.NewWriter(w, Window)
	}
	speed := zstd.SpeedDefault
	if level == Best {
		speed = zstd.SpeedBestCompression
	}
	return zstd.NewWriter(w, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(Window),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
}

// newDecompressor returns the content of a frame, and what releases it. It ends with
// io.EOF only after the codec's checksums, at the end of r.
func newDecompressor(r io.Reader, codec Codec) (io.Reader, func(), error) {
	switch codec {
	case Zstd:
		// One at a time: no goroutines, and no blocks decoded ahead.
		d, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(Window))
		if err != nil {
			return nil, nil, err
		}
		return d, d.Close, nil
	case XZ:
		x := xz.NewReader(r, xz.Options{MaxWindow: Window})
		return x, func() { _ = x.Close() }, nil
	}
	return nil, nil, corrupt("the unknown codec %#x", byte(codec))
}
