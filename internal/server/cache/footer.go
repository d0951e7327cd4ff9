package cache

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"
)

// blockSize is the bytes that have a checksum of their own: what io.Copy reads at once.
const blockSize = 32 << 10

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// tail ends the file of a whole entry, after its bytes and the checksum of each block.
type tail struct {
	Magic [8]byte
	Size  int64 // bytes of the entry
	Name  name
	ID    [16]byte
	Sum   uint32 // of the checksums and of the tail up to here
}

var (
	magic    = [8]byte{'j', 'a', 'm', 'e', 's', 'c', 'a', '1'}
	tailSize = int64(binary.Size(tail{}))
)

// errFooter is how a file that is not a whole entry is told.
var errFooter = errors.New("the file is not whole")

func blocks(size int64) int64 { return (size + blockSize - 1) / blockSize }

// appendFooter appends what follows an entry's bytes.
func appendFooter(dst []byte, size int64, sums []uint32, n name, id [16]byte) []byte {
	for _, sum := range sums {
		dst = binary.LittleEndian.AppendUint32(dst, sum)
	}
	dst, _ = binary.Append(dst, binary.LittleEndian, tail{Magic: magic, Size: size, Name: n, ID: id}) // of constant size
	dst = dst[:len(dst)-4]
	return binary.LittleEndian.AppendUint32(dst, crc32.Checksum(dst, castagnoli))
}

// readFooter returns the size and the checksums of an entry's file.
func readFooter(file *os.File, n name, id [16]byte) (int64, []uint32, error) {
	fi, err := file.Stat()
	if err != nil {
		return 0, nil, err
	}
	var t tail
	if fi.Size() < tailSize {
		return 0, nil, errFooter
	}
	if err := binary.Read(io.NewSectionReader(file, fi.Size()-tailSize, tailSize), binary.LittleEndian, &t); err != nil {
		return 0, nil, err
	}
	count := blocks(t.Size)
	if t.Magic != magic || t.Name != n || t.ID != id || t.Size < 0 || t.Size > fi.Size() || t.Size+4*count+tailSize != fi.Size() {
		return 0, nil, errFooter
	}
	raw := make([]byte, fi.Size()-t.Size)
	if _, err := file.ReadAt(raw, t.Size); err != nil {
		return 0, nil, err
	}
	if crc32.Checksum(raw[:len(raw)-4], castagnoli) != t.Sum {
		return 0, nil, errFooter
	}
	sums := make([]uint32, count)
	for i := range sums {
		sums[i] = binary.LittleEndian.Uint32(raw[4*i:])
	}
	return t.Size, sums, nil
}
