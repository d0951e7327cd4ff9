package xz

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// block is the header of a block.
type block struct {
	headerSize int64
	// compressed and content are the sizes that the header states, -1 for none.
	compressed, content int64
	dict                int64
}

const (
	filterLZMA2 = 0x21
	maxHeader   = 1024
)

// readBlockHeader reads a block header whose first byte is size.
func readBlockHeader(r io.Reader, size byte) (block, error) {
	var buf [maxHeader]byte
	head := buf[:(int(size)+1)*4]
	head[0] = size
	if _, err := io.ReadFull(r, head[1:]); err != nil {
		return block{}, noEOF(err)
	}
	sum := len(head) - 4
	if crc32.ChecksumIEEE(head[:sum]) != binary.LittleEndian.Uint32(head[sum:]) {
		return block{}, malformed("a block header's checksum is wrong")
	}
	return parseBlockHeader(head[:sum])
}

func parseBlockHeader(head []byte) (b block, err error) {
	b = block{headerSize: int64(len(head)) + 4, compressed: -1, content: -1}
	flags, in := head[1], bytes.NewReader(head[2:])
	if flags&0x3c != 0 {
		return b, malformed("unknown flags %#x of a block", flags)
	}
	if flags&0x40 != 0 {
		if b.compressed, err = readInt(in); err != nil {
			return b, err
		}
	}
	if flags&0x80 != 0 {
		if b.content, err = readInt(in); err != nil {
			return b, err
		}
	}
	filter, err := readInt(in)
	if err != nil {
		return b, err
	}
	if flags&3 != 0 || filter != filterLZMA2 {
		return b, ErrFilter
	}
	var props [2]byte
	if _, err := io.ReadFull(in, props[:]); err != nil || props[0] != 1 {
		return b, malformed("a block header with malformed LZMA2 properties")
	}
	if b.dict = dictionarySize(props[1]); b.dict == 0 {
		return b, malformed("a dictionary of a size that does not exist")
	}
	if !isZero(head[len(head)-in.Len():]) {
		return b, malformed("padding of a block header that is not zero")
	}
	return b, nil
}

// minDictionary is the smallest dictionary, in bytes.
const minDictionary = 4096

// dictionarySize returns the size that a code stands for, 0 for none.
func dictionarySize(code byte) int64 {
	switch {
	case code > 40:
		return 0
	case code == 40:
		return 1<<32 - 1
	}
	return int64(2|code&1) << (code/2 + 11)
}

// dictionary returns how large a dictionary the block can make use of: as much
// as it asks for, but not more than its own content.
func (b *block) dictionary() int {
	n := b.dict
	if b.content >= 0 {
		n = min(n, b.content)
	}
	return int(max(n, minDictionary))
}

// readInt reads a number of up to 63 bits, 7 of them in a byte.
func readInt(r io.ByteReader) (int64, error) {
	var v int64
	for shift := 0; shift < 63; shift += 7 {
		b, err := r.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		v |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				break // not the shortest form
			}
			return v, nil
		}
	}
	return 0, malformed("a malformed number")
}
