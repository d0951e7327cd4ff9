package regzip

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"hash"
	"hash/crc32"
	"io"
)

// Form is what a file has beside its content, the one that gzip has made of it.
type Form struct {
	Header []byte // MinHeader to MaxHeader bytes
	Level  int    // MinLevel to MaxLevel
}

// Limits of a Form. The levels below MinLevel compress in another way.
const (
	MinHeader = 10
	MaxHeader = 1 << 10
	MinLevel  = 4
	MaxLevel  = 9
)

// Valid reports whether the form keeps to its limits.
func (f Form) Valid() bool {
	return len(f.Header) >= MinHeader && len(f.Header) <= MaxHeader && f.Level >= MinLevel && f.Level <= MaxLevel
}

// NewReader returns a reader of the file that gzip makes of content in that form, which
// must be valid. It fails with what reading content fails with, and with ErrEffort.
func NewReader(content io.Reader, f Form) io.Reader {
	r := &reader{sum: crc32.NewIEEE()}
	r.matcher = &matcher{level: levels[f.Level], blocks: newBlocks(), in: io.TeeReader(content, r)}
	r.matcher.blocks.out = append(r.matcher.blocks.out, f.Header...)
	return r
}

type reader struct {
	matcher *matcher
	sum     hash.Hash32
	size    uint32
	state   int
	ready   []byte
}

// The states of a reader.
const (
	fresh = iota
	within
	ended
)

// Write takes note of the content.
func (r *reader) Write(b []byte) (int, error) {
	r.size += uint32(len(b))
	return r.sum.Write(b)
}

// Read makes the next bytes of the file.
func (r *reader) Read(b []byte) (int, error) {
	for len(r.ready) == 0 {
		if r.state == ended {
			return 0, io.EOF
		}
		r.next()
		if r.matcher.err != nil {
			return 0, r.matcher.err
		}
	}
	n := copy(b, r.ready)
	r.ready = r.ready[n:]
	return n, nil
}

// next makes the next block, and what goes before and after all of them.
func (r *reader) next() {
	m := r.matcher
	if r.state == fresh {
		m.start()
		r.state = within
	} else {
		m.blocks.out = m.blocks.out[:0]
	}
	if !m.run() {
		r.state = ended
		m.blocks.out = binary.LittleEndian.AppendUint32(m.blocks.out, r.sum.Sum32())
		m.blocks.out = binary.LittleEndian.AppendUint32(m.blocks.out, r.size)
	}
	r.ready = m.blocks.out
}

// IsGzip reports whether a file begins as those of gzip do.
func IsGzip(file []byte) bool {
	return len(file) > 18 && file[0] == 0x1f && file[1] == 0x8b && file[2] == 8
}

// Content returns the content of a file, of at most limit bytes; false where it has more
// or is malformed.
func Content(file []byte, limit int) ([]byte, bool) {
	z, err := gzip.NewReader(bytes.NewReader(file))
	if err != nil {
		return nil, false
	}
	content, err := io.ReadAll(io.LimitReader(z, int64(limit)+1))
	return content, err == nil && len(content) <= limit
}

// Recognize returns in which form NewReader makes the file of its content; false where
// there is none.
func Recognize(file, content []byte) (Form, bool) {
	size, ok := headerSize(file)
	if !ok {
		return Form{}, false
	}
	for _, level := range likely(file[8]) {
		f := Form{Header: file[:size:size], Level: level}
		if same(NewReader(bytes.NewReader(content), f), file) {
			return f, true
		}
	}
	return Form{}, false
}

// likely returns the levels that a file may have been made with: the extra flags of
// its header tell the highest from the others, of which the sixth is gzip's own.
func likely(flags byte) []int {
	switch flags {
	case 2:
		return []int{9}
	case 0:
		return []int{6, 9}
	}
	return nil
}

// headerSize returns the size of the header of a file (RFC 1952).
func headerSize(file []byte) (int, bool) {
	if !IsGzip(file) {
		return 0, false
	}
	size, flags := MinHeader, file[3]
	if flags&4 != 0 { // extra field
		size += 2 + int(binary.LittleEndian.Uint16(file[size:]))
	}
	for _, flag := range []byte{8, 16} { // name, comment
		if flags&flag == 0 || size > len(file) {
			continue
		}
		size += bytes.IndexByte(file[size:], 0) + 1
	}
	if flags&2 != 0 { // checksum of the header
		size += 2
	}
	return size, size <= MaxHeader && size+8 < len(file)
}

// same reports whether r makes the file, reading no more than it needs to know.
func same(r io.Reader, file []byte) bool {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if !bytes.HasPrefix(file, buf[:n]) {
			return false
		}
		if file = file[n:]; err != nil {
			return err == io.EOF && len(file) == 0
		}
	}
}
