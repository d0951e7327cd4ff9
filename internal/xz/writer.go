package xz

import (
	"encoding/binary"
	"errors"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// Writer makes a stream of one block. It takes some 6 MiB and ten times the
// dictionary, or ten times the content where that is smaller.
type Writer struct {
	w       io.Writer
	encoder *encoder
	dict    int
	check   hash.Hash64
	size    int64 // of the content
	block   int64 // of the block so far
	out     []byte
	err     error
}

var errWriterClosed = errors.New("write after its close")

// NewWriter returns a writer that compresses to w as well as it can, always in
// the same way for the same bytes. dictionary is how far back, in bytes, the
// stream refers, and so what it takes to read it: 4 KiB to 1 GiB.
func NewWriter(w io.Writer, dictionary int) (*Writer, error) {
	if dictionary < lzma.MinDictCap || dictionary > 1<<30 {
		return nil, malformed("a dictionary of %d bytes", dictionary)
	}
	x := &Writer{w: w, dict: dictionary, encoder: newEncoder(dictionary), check: crc64.New(crc64.MakeTable(crc64.ECMA))}
	x.begin(lzma.EncodeDictCap(int64(dictionary)))
	return x, x.flush()
}

var streamFlags = []byte{0, 4} // the check is a CRC64

// begin writes the headers of the stream and of the block.
func (x *Writer) begin(dictionary byte) {
	x.out = append(x.out, "\xfd7zXZ\x00"...)
	x.out = withSum(append(x.out, streamFlags...), 2)
	head := []byte{2, 0, filterLZMA2, 1, dictionary, 0, 0, 0}
	x.out = withSum(append(x.out, head...), len(head))
	x.block = -int64(len(x.out) - len(head) - 4) // which counts as the block is written
}

// withSum appends the CRC32 of the last n bytes of b.
func withSum(b []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b[len(b)-n:]))
}

// Write compresses p.
func (x *Writer) Write(p []byte) (int, error) {
	written := 0
	for len(p) > 0 && x.err == nil {
		n := min(len(p), 1<<20)
		x.check.Write(p[:n])
		x.size += int64(n)
		x.slide()
		f := x.encoder.find
		f.buf = append(f.buf, p[:n]...)
		x.compress(len(f.buf) - lookahead)
		written, p = written+n, p[n:]
	}
	return written, x.err
}

// slide forgets what is farther back than the dictionary, once that is much.
func (x *Writer) slide() {
	e := x.encoder
	n := min(e.pos-x.dict, e.begin)
	if n < max(x.dict/2, 1<<20) {
		return
	}
	e.find.buf = e.find.buf[:copy(e.find.buf, e.find.buf[n:])]
	e.find.at -= n
	e.pos -= n
	e.begin -= n
}

// compress writes the chunks that content up to end, or somewhat more, fills.
func (x *Writer) compress(end int) {
	x.out = x.encoder.run(x.out, end)
	x.err = x.flush()
}

// Flush writes all that was given so far, so that a reader can have it. It costs some
// bytes.
func (x *Writer) Flush() error {
	if x.err == nil {
		x.out = x.encoder.end(x.encoder.run(x.out, len(x.encoder.find.buf)))
		x.err = x.flush()
	}
	return x.err
}

func (x *Writer) flush() error {
	if len(x.out) == 0 {
		return nil
	}
	_, err := x.w.Write(x.out)
	x.block += int64(len(x.out))
	x.out = x.out[:0]
	return err
}

// Close writes the end of the stream. It does not close the writer below.
func (x *Writer) Close() error {
	if err := x.Flush(); err != nil {
		return err
	}
	x.err = errWriterClosed
	x.end()
	x.encoder = nil
	return x.flush()
}

// end writes the rest of the block, the index and the footer.
func (x *Writer) end() {
	x.out = append(x.out, 0)
	x.block++
	x.out = append(x.out, make([]byte, padding(x.block))...)
	x.out = binary.LittleEndian.AppendUint64(x.out, x.check.Sum64())
	index := binary.AppendUvarint([]byte{0, 1}, uint64(x.block+8))
	index = binary.AppendUvarint(index, uint64(x.size))
	index = append(index, make([]byte, padding(int64(len(index))))...)
	index = withSum(index, len(index))
	x.out = append(x.out, index...)
	foot := binary.LittleEndian.AppendUint32(nil, uint32(len(index)/4-1))
	foot = append(foot, streamFlags...)
	x.out = binary.LittleEndian.AppendUint32(x.out, crc32.ChecksumIEEE(foot))
	x.out = append(append(x.out, foot...), "YZ"...)
}
