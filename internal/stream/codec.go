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

// frames is the compressor of Zstd. Between two of its frames there may be others.
type frames struct {
	*zstd.Encoder
	w     io.Writer
	ended bool // the frame; the next Write begins another
}

func (f *frames) Write(b []byte) (int, error) {
	if f.ended {
		f.Reset(f.w)
		f.ended = false
	}
	return f.Encoder.Write(b)
}

// insert ends the frame and has write write others.
func (f *frames) insert(write func(io.Writer) error) error {
	if err := f.Encoder.Close(); err != nil {
		return err
	}
	f.ended = true
	return write(f.w)
}

// Flush is as in compressor.
func (f *frames) Flush() error {
	if f.ended {
		return nil
	}
	return f.Encoder.Flush()
}

// Close is as in compressor.
func (f *frames) Close() error {
	if f.ended {
		return nil
	}
	return f.Encoder.Close()
}

func newCompressor(w io.Writer, codec Codec, level Level) (compressor, error) {
	if codec == XZ {
		return xz.NewWriter(w, Window)
	}
	speed := zstd.SpeedDefault
	if level == Best {
		speed = zstd.SpeedBestCompression
	}
	enc, err := zstd.NewWriter(w, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(Window),
		zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, err
	}
	return &frames{Encoder: enc, w: w}, nil
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
