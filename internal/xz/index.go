package xz

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// records stands for the list of a stream's blocks, without keeping it.
type records struct {
	count int64
	hash  hash.Hash
}

func newRecords() records { return records{hash: sha256.New()} }

func (r *records) add(unpadded, content uint64) {
	var rec [16]byte
	binary.BigEndian.PutUint64(rec[:8], unpadded)
	binary.BigEndian.PutUint64(rec[8:], content)
	r.hash.Write(rec[:])
	r.count++
}

func (r *records) equal(o *records) bool {
	return r.count == o.count && string(r.hash.Sum(nil)) == string(o.hash.Sum(nil))
}

// readIndex reads the index, whose first byte was read, and the footer, and
// compares them with the blocks and the header of the stream.
func (x *Reader) readIndex() error {
	in := &sumReader{r: x.r, sum: crc32.ChecksumIEEE([]byte{0}), n: 1}
	if err := x.readRecords(in); err != nil {
		return err
	}
	if err := readZeros(in, padding(in.n)); err != nil {
		return err
	}
	var foot [16]byte // the index' checksum, and the footer
	if _, err := io.ReadFull(x.r, foot[:]); err != nil {
		return noEOF(err)
	}
	size := in.n + 4
	switch {
	case binary.LittleEndian.Uint32(foot[:]) != in.sum:
		return malformed("the index' checksum is wrong")
	case string(foot[14:]) != "YZ" || crc32.ChecksumIEEE(foot[8:14]) != binary.LittleEndian.Uint32(foot[4:]):
		return malformed("the stream footer is damaged")
	case [2]byte(foot[12:14]) != x.flags || (int64(binary.LittleEndian.Uint32(foot[8:]))+1)*4 != size:
		return malformed("the stream footer does not go with the stream")
	}
	return nil
}

func (x *Reader) readRecords(in *sumReader) error {
	count, err := readInt(in)
	if err != nil {
		return err
	}
	found := newRecords()
	for range min(count, x.records.count+1) {
		unpadded, err := readInt(in)
		if err != nil {
			return err
		}
		content, err := readInt(in)
		if err != nil {
			return err
		}
		found.add(uint64(unpadded), uint64(content))
	}
	if !found.equal(&x.records) {
		return malformed("the index does not go with the blocks")
	}
	return nil
}

// sumReader counts and sums what is read through it.
type sumReader struct {
	r   *bufio.Reader
	sum uint32
	n   int64
}

func (s *sumReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.sum = crc32.Update(s.sum, crc32.IEEETable, p[:n])
	s.n += int64(n)
	return n, err
}

func (s *sumReader) ReadByte() (byte, error) {
	var b [1]byte
	_, err := io.ReadFull(s, b[:])
	return b[0], err
}
