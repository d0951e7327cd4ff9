package xz

import (
	"hash"
	"io"
	"math"
)

// blockReader reads one block after the other, with one dictionary.
type blockReader struct {
	r        source
	in       limited // the chunks in r
	block    block
	check    hash.Hash // nil for none
	flags    [2]byte   // that check is of
	chunks   chunks
	size     int64 // of the content that was read
	unpadded int64
}

// begin starts with the block b, whose chunks are the next in r.
func (b *blockReader) begin(r source, header block, flags [2]byte) error {
	if b.check == nil || b.flags != flags {
		check, err := newCheck(flags)
		if err != nil {
			return err
		}
		b.check, b.flags = check, flags
	}
	if b.check != nil {
		b.check.Reset()
	}
	b.r, b.block, b.size = r, header, 0
	b.in = limited{r, header.compressed}
	if header.compressed < 0 {
		b.in.left = math.MaxInt64
	}
	b.chunks.reset(header.dictionary())
	return nil
}

func (b *blockReader) sizes() (unpadded, content int64) { return b.unpadded, b.size }

// Read reads content, and after the last of it checks the block.
func (b *blockReader) Read(p []byte) (int, error) {
	for b.chunks.left == 0 {
		more, err := b.chunks.next(&b.in)
		if err != nil {
			return 0, err
		}
		if !more {
			return 0, b.end()
		}
		if b.block.content >= 0 && b.size+int64(b.chunks.left) > b.block.content {
			return 0, errSize
		}
	}
	n, err := b.chunks.Read(p)
	b.size += int64(n)
	if b.check != nil {
		b.check.Write(p[:n])
	}
	return n, err
}

var errSize = malformed("a block of another size than its header states")

// end reads what follows the chunks and returns io.EOF if all is right.
func (b *blockReader) end() error {
	compressed := b.chunks.n
	if b.block.compressed >= 0 && b.block.compressed != compressed || b.block.content >= 0 && b.block.content != b.size {
		return errSize
	}
	if err := readZeros(b.r, padding(compressed)); err != nil {
		return err
	}
	b.unpadded = b.block.headerSize + compressed
	if b.check != nil {
		sum := make([]byte, b.check.Size())
		if _, err := io.ReadFull(b.r, sum); err != nil {
			return noEOF(err)
		}
		if !sumEqual(b.check, sum) {
			return malformed("a block's checksum is wrong")
		}
		b.unpadded += int64(len(sum))
	}
	return io.EOF
}

// limited reads no more than left bytes, beyond which a block must not go.
type limited struct {
	source
	left int64
}

func (l *limited) ReadByte() (byte, error) {
	if l.left--; l.left < 0 {
		return 0, errSize
	}
	return l.source.ReadByte()
}

func (l *limited) Read(p []byte) (int, error) {
	if int64(len(p)) > l.left {
		if p = p[:max(0, l.left)]; len(p) == 0 {
			return 0, errSize
		}
	}
	n, err := l.source.Read(p)
	l.left -= int64(n)
	return n, err
}
