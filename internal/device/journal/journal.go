// Package journal is a file of records that survives a crash. It knows bytes; it
// does not know what they mean.
//
// What always holds: a record that Sync was called after is read again, with all
// records before it, until Reset. A record is whole or not there: each carries
// its length and a checksum that covers all records before it too, so the first
// that does not fit ends the journal, whether a crash tore it or what lies there
// is left from something else. The first change after Open cuts that tail off.
package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// MaxRecord is the length of the longest record, in bytes.
const MaxRecord = 1 << 20

// frame is what precedes a record: its length and its checksum, little-endian.
const frame = 8

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Journal is a journal that is open for writing. It is not safe for concurrent
// use.
type Journal struct {
	file *disk.Appender
	size int64  // of the records that are whole
	sum  uint32 // of all of them
	torn bool   // whether there may be more in the file than size
	// unsure says that what is durable is not known: a sync has failed, or a whole
	// record was written that an error disowned.
	unsure bool
	// Cut is the number of bytes that Open found after the records; the next change
	// cuts them off.
	Cut int64
}

// Open opens the journal at path, making it if it does not exist, and returns
// the records in it.
func Open(d *disk.Disk, path string) (*Journal, [][]byte, error) {
	records, size, sum, err := read(d, path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, nil, err
	}
	file, err := d.OpenAppend(path)
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{file: file, size: size, sum: sum}
	whole, err := file.Size()
	if err != nil {
		return nil, nil, errors.Join(err, file.Close())
	}
	j.Cut, j.torn = whole-size, whole != size
	return j, records, nil
}

// Read returns the records of the journal at path and changes nothing. It fails
// with KindNotFound where there is none.
func Read(d *disk.Disk, path string) ([][]byte, error) {
	records, _, _, err := read(d, path)
	return records, err
}

func read(d *disk.Disk, path string) (records [][]byte, size int64, sum uint32, err error) {
	file, err := d.OpenFile(path)
	if err != nil {
		return nil, 0, 0, err
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	for {
		record, next, err := readOne(in, sum)
		if errors.Is(err, errEnd) {
			return records, size, sum, nil
		}
		if err != nil {
			return nil, 0, 0, james.Errorf(james.KindUnavailable, file.Name(), "%w", err)
		}
		records = append(records, record)
		size += frame + int64(len(record))
		sum = next
	}
}

// errEnd says that no further whole record follows.
var errEnd = errors.New("end of journal")

func readOne(in io.Reader, sum uint32) ([]byte, uint32, error) {
	var head [frame]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, 0, ended(err)
	}
	length := binary.LittleEndian.Uint32(head[:4])
	if length == 0 || length > MaxRecord {
		return nil, 0, errEnd
	}
	record := make([]byte, length)
	if _, err := io.ReadFull(in, record); err != nil {
		return nil, 0, ended(err)
	}
	if sum = checksum(sum, record); sum != binary.LittleEndian.Uint32(head[4:]) {
		return nil, 0, errEnd
	}
	return record, sum, nil
}

func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errEnd
	}
	return err
}

// checksum continues the checksum of the records before with that of record and
// of its length.
func checksum(before uint32, record []byte) uint32 {
	var length [4]byte
	binary.LittleEndian.PutUint32(length[:], uint32(len(record)))
	return crc32.Update(crc32.Update(before, castagnoli, length[:]), castagnoli, record)
}

// cut drops from the file what follows the whole records.
func (j *Journal) cut() error {
	size, err := j.file.Size()
	if err != nil || size == j.size {
		return err
	}
	if err := j.file.Truncate(j.size); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.torn = false
	return nil
}

// Append adds records, which are durable only after Sync. After an error none of
// them is part of the journal, unless the process ends before the next call.
func (j *Journal) Append(records ...[]byte) error {
	if err := j.repair(); err != nil {
		return err
	}
	var buf []byte
	sum := j.sum
	for _, record := range records {
		if len(record) == 0 || len(record) > MaxRecord {
			return james.Errorf(james.KindInternal, "journal record", "has %d bytes, 1 to %d are allowed", len(record), MaxRecord)
		}
		buf, sum = add(buf, sum, record)
	}
	if n, err := j.file.Write(buf); err != nil {
		j.torn, j.unsure = true, j.unsure || n == len(buf)
		return err
	}
	j.size, j.sum = j.size+int64(len(buf)), sum
	return nil
}

// add appends a record to buf; sum is the checksum of those before it.
func add(buf []byte, sum uint32, record []byte) ([]byte, uint32) {
	sum = checksum(sum, record)
	buf = binary.LittleEndian.AppendUint32(buf, uint32(len(record)))
	buf = binary.LittleEndian.AppendUint32(buf, sum)
	return append(buf, record...), sum
}

// NewReader returns the bytes of a journal with the records that next returns
// until it returns nil. None may be longer than MaxRecord.
func NewReader(next func() ([]byte, error)) io.Reader { return &reader{next: next} }

type reader struct {
	next func() ([]byte, error)
	sum  uint32
	buf  []byte // not read yet
}

func (r *reader) Read(p []byte) (int, error) {
	if len(r.buf) == 0 {
		record, err := r.next()
		if err != nil {
			return 0, err
		}
		if record == nil {
			return 0, io.EOF
		}
		r.buf, r.sum = add(r.buf[:0], r.sum, record)
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// repair cuts off what a failed Append left.
func (j *Journal) repair() error {
	if !j.torn {
		return nil
	}
	return j.cut()
}

// Sync makes the records durable. After an error it is unknown whether they are.
func (j *Journal) Sync() error {
	if err := j.file.Sync(); err != nil {
		j.unsure = true
		return err
	}
	j.unsure = false
	return nil
}

// Unsure reports whether it is unknown if the records of the last Append are
// durable: then only who reads the journal again knows. A failed Append that
// wrote a part of them leaves no doubt, they are not.
func (j *Journal) Unsure() bool { return j.unsure }

// Size returns the length of the records with their frames, in bytes.
func (j *Journal) Size() int64 { return j.size }

// Position is a place in a journal to go back to.
type Position struct {
	size int64
	sum  uint32
}

// Mark returns the end of the journal.
func (j *Journal) Mark() Position { return Position{j.size, j.sum} }

// Rewind durably takes back all records that were appended after p was marked.
// After an error it is unknown whether they are still there.
func (j *Journal) Rewind(p Position) error {
	if err := j.file.Truncate(p.size); err != nil {
		return err
	}
	if err := j.file.Sync(); err != nil {
		return err
	}
	j.size, j.sum, j.torn, j.unsure = p.size, p.sum, false, false
	return nil
}

// Reserve asks for room for n more bytes, where the file system can.
func (j *Journal) Reserve(n int64) error { return j.file.Reserve(j.size + n) }

// Reset durably drops all records.
func (j *Journal) Reset() error { return j.Rewind(Position{}) }

// Close closes the file.
func (j *Journal) Close() error { return j.file.Close() }
