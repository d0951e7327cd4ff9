package load

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// Archive returns the packet's archive, a tar compressed with gzip.
func (p *Packet) Archive() ([]byte, error) {
	var buf bytes.Buffer
	packed := gzip.NewWriter(&buf)
	out := tar.NewWriter(packed)
	for _, e := range p.ordered() {
		if err := e.write(out, packed); err != nil {
			return nil, fmt.Errorf("%s: %s: %w", p, e.Path, err)
		}
	}
	err := errors.Join(out.Close(), packed.Close())
	return buf.Bytes(), err
}

// ordered returns the entries with the hard links last, as a link must come
// after what it names.
func (p *Packet) ordered() []Entry {
	var first, links []Entry
	for _, e := range p.Entries {
		if e.Link != "" {
			links = append(links, e)
			continue
		}
		first = append(first, e)
	}
	return append(first, links...)
}

func (e *Entry) write(out *tar.Writer, raw io.Writer) error {
	if e.Sparse {
		if err := out.Flush(); err != nil {
			return err
		}
		return e.writeSparse(raw)
	}
	h := e.header()
	if err := out.WriteHeader(h); err != nil {
		return err
	}
	_, err := out.Write(e.Content)
	return err
}

func (e *Entry) header() *tar.Header {
	h := &tar.Header{Format: tar.FormatPAX, Name: e.Path, Mode: tarMode(e.Mode), Uid: e.UID, Gid: e.GID, ModTime: e.Time, PAXRecords: map[string]string{}}
	for name, value := range e.Xattrs {
		h.PAXRecords["SCHILY.xattr."+name] = string(value)
	}
	switch {
	case e.Link != "":
		h.Typeflag, h.Linkname = tar.TypeLink, e.Link
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
	case e.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.Target
	default:
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.Content))
	}
	return h
}

func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	for bit, has := range map[int64]fs.FileMode{0o4000: fs.ModeSetuid, 0o2000: fs.ModeSetgid, 0o1000: fs.ModeSticky} {
		if m&has != 0 {
			mode |= bit
		}
	}
	return mode
}

const tarBlock = 512

// writeSparse writes the entry as GNU tar stores a sparse file in the PAX format
// 1.0, which archive/tar reads and does not write.
func (e *Entry) writeSparse(raw io.Writer) error {
	var islands bytes.Buffer
	var data []byte
	count := 0
	for at := 0; at < len(e.Content); at += 4096 {
		piece := e.Content[at:min(at+4096, len(e.Content))]
		if len(bytes.Trim(piece, "\x00")) == 0 {
			continue
		}
		count++
		fmt.Fprintf(&islands, "%d\n%d\n", at, len(piece))
		data = append(data, piece...)
	}
	fmt.Fprintf(&islands, "%d\n0\n", len(e.Content))
	body := padded([]byte(fmt.Sprintf("%d\n%s", count+1, islands.Bytes())))
	size := len(body) + len(data)
	var records []byte
	for _, r := range [][2]string{
		{"GNU.sparse.major", "1"}, {"GNU.sparse.minor", "0"}, {"GNU.sparse.name", e.Path}, {"GNU.sparse.realsize", fmt.Sprint(len(e.Content))},
		{"mtime", fmt.Sprintf("%d.%09d", e.Time.Unix(), e.Time.Nanosecond())},
	} {
		records = append(records, record(r[0], r[1])...)
	}
	for _, part := range [][]byte{
		rawHeader("PaxHeaders/sparse", 'x', 0o644, len(records), e), padded(records),
		rawHeader("GNUSparseFile.0/sparse", tar.TypeReg, tarMode(e.Mode), size, e), body, padded(data),
	} {
		if _, err := raw.Write(part); err != nil {
			return err
		}
	}
	return nil
}

// record is one record of a PAX header: its own length, a name and a value.
func record(name, value string) string {
	size := len(name) + len(value) + 3
	for n := size; ; n++ {
		if r := fmt.Sprintf("%d %s=%s\n", n, name, value); len(r) == n {
			return r
		}
	}
}

func padded(b []byte) []byte {
	return append(b, make([]byte, (tarBlock-len(b)%tarBlock)%tarBlock)...)
}

func rawHeader(name string, flag byte, mode int64, size int, e *Entry) []byte {
	h := make([]byte, tarBlock)
	copy(h, name)
	copy(h[100:], fmt.Sprintf("%07o\x00%07o\x00%07o\x00%011o\x00%011o\x00        %c", mode, e.UID, e.GID, size, e.Time.Unix(), flag))
	copy(h[257:], "ustar\x0000")
	sum := 0
	for _, c := range h {
		sum += int(c)
	}
	copy(h[148:], fmt.Sprintf("%06o\x00 ", sum))
	return h
}
