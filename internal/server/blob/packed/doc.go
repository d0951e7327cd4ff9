// Package packed is the form in which blobs that compress are kept at rest:
//
//	head    a skippable frame, by which the form is known
//	frames  zstd frames of FrameSize bytes of content each, the last of fewer
//	tail    a skippable frame: size and CRC-32C of each frame, the content's
//	        size, the number of frames, the CRC-32C of the tail before it
//
// So any place of the content is read by decoding one frame, memory does not
// depend on its size, and no damage reads as content: each frame is checked before
// it is decoded. "zstd -dc" reads it too.
//
// The form is told by the head alone. Content that begins like a head is therefore
// kept packed whatever it was asked for, and everything else is what it is.
package packed

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// FrameSize is the content of a frame, in bytes: what a Writer and a Reader hold,
// besides as much in its compressed form.
const FrameSize = 256 << 10

// ErrDamaged is wrapped by what a Reader finds to be damaged.
var ErrDamaged = errors.New("its compressed form is damaged")

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrDamaged, fmt.Errorf(format, args...))
}

// magic is twice in a head, so that one that is damaged is still known for one.
const magic = "\x8f\x1djamesd\xe2\x9b\xfepack\x01"

const (
	skippable    = 0x184d2a50
	frameHeader  = 8 // of a skippable frame: its magic number and its size
	footerSize   = 16
	entrySize    = 8
	maxFrames    = 1 << 20 // 256 GiB
	smallestTail = frameHeader + footerSize
)

// HeadSize is how many of the first bytes tell whether a blob is packed.
const HeadSize = frameHeader + 2*len(magic)

var head = append(skippableFrame(2*len(magic)), magic+magic...)

func skippableFrame(size int) []byte {
	b := binary.LittleEndian.AppendUint32(nil, skippable)
	return binary.LittleEndian.AppendUint32(b, uint32(size))
}

// Is reports whether what begins with these bytes, HeadSize of them where there
// are as many, is packed, also if it was cut or one half of its head is damaged.
func Is(first []byte) bool {
	if len(first) < HeadSize {
		return len(first) > 0 && bytes.HasPrefix(head, first)
	}
	return string(first[frameHeader:][:len(magic)]) == magic || string(first[frameHeader+len(magic):][:len(magic)]) == magic
}

// castagnoli has a machine instruction where it matters.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// encoder and decoder serve everybody; both hold what each of as many goroutines
// as run at a time needs.
var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		return must(zstd.NewWriter(nil, zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithEncoderLevel(zstd.SpeedDefault),
			zstd.WithWindowSize(FrameSize), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true),
			zstd.WithAllLitEntropyCompression(true)))
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		return must(zstd.NewReader(nil, zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(FrameSize)))
	})
)

// must is for options, which are right or wrong once and for all.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
