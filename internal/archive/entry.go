package archive

import (
	"archive/tar"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/trusch/jamesd/pkg/james"
)

// pathOf returns the place that the name of an entry says.
func pathOf(name string) (james.Path, error) {
	p, err := james.ParsePath(name)
	var cause *james.Error
	if errors.As(err, &cause) {
		return "", james.Errorf(james.KindInvalid, "archive entry", "%w", cause.Err).
			WithHint("Names in a packet are relative to the install root.")
	}
	// The name may be a piece of a large header, which it must not keep.
	return james.Path(strings.Clone(string(p))), err
}

// typeOf returns what a type flag stands for, or "" for none that a packet can
// hold.
func typeOf(flag byte) james.EntryType {
	switch flag {
	case tar.TypeReg, tar.TypeCont, tar.TypeGNUSparse:
		return james.TypeFile
	case tar.TypeDir:
		return james.TypeDir
	case tar.TypeSymlink:
		return james.TypeSymlink
	case tar.TypeLink:
		return james.TypeHardlink
	case tar.TypeFifo:
		return james.TypeFifo
	case tar.TypeChar:
		return james.TypeChar
	case tar.TypeBlock:
		return james.TypeBlock
	}
	return ""
}

// unusual are type flags that have a meaning, but none in a packet.
var unusual = map[byte]string{
	'D': "a directory of an incremental backup",
	'M': "the continuation of a file from another volume",
	'N': "an old long name",
	'V': "a volume label",
	'X': "an extended header of Solaris",
	'A': "an access control list of Solaris",
	'I': "an inode",
}

// checkGlobal refuses an extended header for all entries that follow, except
// for the comment in which git names a commit: the tar reader does not apply it.
func checkGlobal(hdr *tar.Header) error {
	for _, k := range slices.Sorted(maps.Keys(hdr.PAXRecords)) {
		if k != "comment" {
			return invalid("has a global header that sets %.60q, which is not supported", k)
		}
	}
	return nil
}

// entryOf returns what hdr says of the entry at p: everything but the digest,
// and a hard link's target as it is written.
func entryOf(hdr *tar.Header, p james.Path, allowDevices bool) (james.Entry, error) {
	e := james.Entry{Path: p, Type: typeOf(hdr.Typeflag)}
	fail := func(format string, args ...any) (james.Entry, error) {
		return james.Entry{}, james.Errorf(james.KindInvalid, p.String(), format, args...)
	}
	switch e.Type {
	case "":
		what := unusual[hdr.Typeflag]
		if what == "" {
			what = "of an unknown kind"
		}
		return fail("is %s (tar type %q); a packet holds files, directories and links", what, hdr.Typeflag)
	case james.TypeHardlink:
		to, err := linkOf(hdr, p)
		e.Link = to
		return e, err // the rest is that of the file it names
	case james.TypeSymlink:
		if hdr.Linkname == "" || len(hdr.Linkname) > james.MaxPathLen {
			return fail("is a symbolic link to %d bytes of name, 1 to %d are allowed", len(hdr.Linkname), james.MaxPathLen)
		}
		e.Target = james.Target(strings.Clone(hdr.Linkname))
	case james.TypeFile:
		if strings.HasSuffix(hdr.Name, "/") {
			return fail("is a file whose name ends in a slash")
		}
		e.Size = hdr.Size
		var known bool
		if e.Sparse, known = isSparse(hdr); !known {
			return fail("is a sparse file of an unknown format")
		}
	case james.TypeFifo, james.TypeChar, james.TypeBlock:
		if !allowDevices {
			return fail("is a %s, which packets may not hold here", deviceNames[e.Type])
		}
	}
	if err := setAttributes(&e, hdr); err != nil {
		return fail("%w", err)
	}
	return e, nil
}

var deviceNames = map[james.EntryType]string{
	james.TypeFifo:  "fifo",
	james.TypeChar:  "character device",
	james.TypeBlock: "block device",
}

func linkOf(hdr *tar.Header, p james.Path) (james.Path, error) {
	to, err := james.ParsePath(hdr.Linkname)
	var cause *james.Error
	if errors.As(err, &cause) {
		return "", james.Errorf(james.KindInvalid, p.String(), "is a hard link to outside of the packet: %w", cause.Err)
	}
	return james.Path(strings.Clone(string(to))), err
}

// isSparse reports whether a file is stored without its holes, and whether the
// tar reader knows the format in which it is and so fills them again.
func isSparse(hdr *tar.Header) (sparse, known bool) {
	const prefix = "GNU.sparse."
	if hdr.Typeflag == tar.TypeGNUSparse {
		return true, true
	}
	for k := range hdr.PAXRecords {
		sparse = sparse || strings.HasPrefix(k, prefix)
	}
	if !sparse {
		return false, true
	}
	switch hdr.PAXRecords[prefix+"major"] + "." + hdr.PAXRecords[prefix+"minor"] {
	case "0.0", "0.1", "1.0":
		return true, true
	case ".": // 0.0 and 0.1 did not always say so
		return true, hdr.PAXRecords[prefix+"map"] != ""
	}
	return true, false
}

// maxID is the largest number of a user or group. Larger ones are numbers that
// many programs take for negative, and the tar reader too on a 32-bit machine.
const maxID = math.MaxInt32

// The times that RFC 3339 can write.
var minTime, maxTime = time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC).Unix(), time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC).Unix()

// setAttributes sets what all entries but hard links have.
func setAttributes(e *james.Entry, hdr *tar.Header) error {
	fail := func(format string, args ...any) error { return james.Errorf(james.KindInvalid, "", format, args...) }
	const fileTypeBits = 0o170000 // some tars write all of st_mode
	switch {
	case hdr.Mode < 0 || hdr.Mode&^(fileTypeBits|0o7777) != 0:
		return fail("has the mode %o", hdr.Mode)
	case hdr.Uid < 0 || hdr.Uid > maxID || hdr.Gid < 0 || hdr.Gid > maxID:
		return fail("has the owner %d:%d, the limit is %d", hdr.Uid, hdr.Gid, maxID)
	case hdr.ModTime.Unix() < minTime || hdr.ModTime.Unix() > maxTime:
		return fail("has a time of modification outside of the years 0 to 9999")
	}
	if e.Type != james.TypeSymlink {
		e.Mode = james.Mode(hdr.Mode & 0o7777)
	}
	e.UID, e.GID = uint32(hdr.Uid), uint32(hdr.Gid)
	e.User, e.Group = ownerName(hdr.Uname), ownerName(hdr.Gname)
	e.Time = hdr.ModTime.UTC()
	if e.Type == james.TypeChar || e.Type == james.TypeBlock {
		if hdr.Devmajor < 0 || hdr.Devmajor > math.MaxUint32 || hdr.Devminor < 0 || hdr.Devminor > math.MaxUint32 {
			return fail("has the device number %d,%d", hdr.Devmajor, hdr.Devminor)
		}
		e.Major, e.Minor = uint32(hdr.Devmajor), uint32(hdr.Devminor)
	}
	var err error
	e.Xattrs, err = xattrsOf(hdr)
	return err
}

// ownerName returns name, or "" where no system can have such a user or group:
// the number counts then.
func ownerName(name string) string {
	const longest = 256
	if len(name) > longest || !utf8.ValidString(name) {
		return ""
	}
	return strings.Clone(name)
}
