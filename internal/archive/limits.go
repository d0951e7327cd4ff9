package archive

import (
	"errors"
	"math"

	"github.com/trusch/jamesd/pkg/james"
)

// Limits bound what an archive may hold. A field that is zero has the value
// that DefaultLimits gives it.
type Limits struct {
	// MaxEntries counts files, directories and links. It is never more than
	// james.MaxEntries, which a manifest can hold.
	MaxEntries int
	// MaxSize is the sum of the sizes of all files, holes included, in bytes.
	MaxSize int64
	// MaxArchive is the size of the archive as it comes, in bytes.
	MaxArchive int64
	// AllowDevices accepts device nodes and fifos. Sockets cannot be in a tar.
	AllowDevices bool
	// Workers is how many blocks of an xz archive may be decoded at a time, one if
	// it is less; see xz.Options. It is for who has cores and memory to spare.
	Workers int
}

// What errors wrap that are about MaxArchive, or about MaxSize.
var (
	ErrMaxArchive = errors.New("is larger than the limit")
	ErrMaxSize    = errors.New("the files exceed the limit")
)

// DefaultLimits returns 250,000 entries, 16 GiB of files, 8 GiB of archive, and
// no devices.
func DefaultLimits() Limits {
	return Limits{MaxEntries: james.MaxEntries, MaxSize: 16 << 30, MaxArchive: 8 << 30}
}

func (l Limits) orDefault() Limits {
	d := DefaultLimits()
	if l.MaxEntries <= 0 || l.MaxEntries > d.MaxEntries {
		l.MaxEntries = d.MaxEntries
	}
	if l.MaxSize <= 0 {
		l.MaxSize = d.MaxSize
	}
	if l.MaxArchive <= 0 {
		l.MaxArchive = d.MaxArchive
	}
	return l
}

// manifestLimits are the limits of an archive whose manifest is known: each of
// its files has to have the size that the manifest says, and who fetches the
// archive knows how long it is.
func manifestLimits() Limits {
	return Limits{MaxEntries: james.MaxEntries, MaxSize: 1 << 62, MaxArchive: math.MaxInt64}
}

// What a tar may hold besides the content of its files: headers, long names,
// attributes, padding. It is far more than james.MaxManifest lets an archive
// need, and stops one that unpacks to a flood of zeros.
const (
	baseOverhead  = 128 << 20
	entryOverhead = 8 << 10
)
