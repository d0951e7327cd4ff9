package archive

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// The formats of an archive, as james.Archive.Format names them.
const (
	FormatXz    = "xz"
	FormatGzip  = "gzip"
	FormatBzip2 = "bzip2"
	FormatZstd  = "zstd"
	FormatTar   = "tar"
)

const blockSize = 512 // of a tar

// formatOf tells the format of an archive that begins with head, which has
// blockSize bytes where the archive has as many. It returns "" for anything else.
func formatOf(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte("\xfd7zXZ\x00")):
		return FormatXz
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return FormatGzip
	case bytes.HasPrefix(head, []byte("BZh")) && len(head) > 3 && '1' <= head[3] && head[3] <= '9':
		return FormatBzip2
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")),
		len(head) > 3 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte("\x2a\x4d\x18")): // a skippable frame
		return FormatZstd
	case isTar(head):
		return FormatTar
	}
	return ""
}

// isTar reports whether block is a tar header of any age, which its checksum
// tells, or the end of an empty tar.
func isTar(block []byte) bool {
	if len(block) < blockSize {
		return false
	}
	block = block[:blockSize]
	if isZero(block) {
		return true
	}
	want, ok := octal(block[148:156])
	unsigned, signed := checksums(block)
	return ok && (want == unsigned || want == signed)
}

// checksums returns the sum of a header's bytes with its checksum field as
// blanks, also as some historic tars add them: as signed numbers.
func checksums(block []byte) (unsigned, signed int64) {
	for i, b := range block {
		if 148 <= i && i < 156 {
			b = ' '
		}
		unsigned += int64(b)
		signed += int64(int8(b))
	}
	return unsigned, signed
}

func octal(field []byte) (int64, bool) {
	n, err := strconv.ParseInt(string(bytes.Trim(field, " \x00")), 8, 64)
	return n, err == nil
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// others are things that people upload in place of a tar.
var others = []struct{ magic, what string }{
	{"!<arch>\ndebian-binary", "a .deb package (an ar archive)"},
	{"!<arch>\n", "an ar archive"},
	{"PK\x03\x04", "a zip file"},
	{"PK\x05\x06", "an empty zip file"},
	{"7z\xbc\xaf\x27\x1c", "a 7z file"},
	{"\xed\xab\xee\xdb", "an .rpm package"},
	{"Rar!\x1a\x07", "a rar file"},
	{"\x7fELF", "an ELF program or library"},
	{"hsqs", "a squashfs image"},
	{"07070", "a cpio archive"},
	{"\xc7\x71", "a cpio archive"},
	{"LZIP", "an lzip file"},
	{"\x5d\x00\x00", "an .lzma file"},
	{"\x04\x22\x4d\x18", "an lz4 file"},
	{"\x1f\x9d", "a compress (.Z) file"},
	{"#!", "a script"},
	{"<", "a web page or XML"},
}

// describe says in words what begins with head.
func describe(head []byte) string {
	if f := formatOf(head); f != "" {
		return "another " + f + " archive"
	}
	for _, o := range others {
		if bytes.HasPrefix(head, []byte(o.magic)) {
			return o.what
		}
	}
	if len(head) >= blockSize && bytes.HasPrefix(head[257:], []byte("ustar")) {
		return "a tar whose first header is damaged"
	}
	if isText(head) {
		return "text"
	}
	return fmt.Sprintf("something that begins with the bytes % x", head[:min(8, len(head))])
}

// isText reports whether head is UTF-8 without NULs; it may end inside a
// character.
func isText(head []byte) bool {
	for cut := 0; cut < utf8.UTFMax && cut < len(head); cut++ {
		if utf8.Valid(head[:len(head)-cut]) {
			return bytes.IndexByte(head, 0) < 0
		}
	}
	return false
}
