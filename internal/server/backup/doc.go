// Package backup writes all that a jamesd keeps as one stream, and reads it again.
//
// The stream is a tar archive compressed with zstd, so that "tar --zstd -tf" lists it:
//
//	jamesd-backup.json   the version of this form, when it was made, and by what
//	jamesd.db            the database as it was at one moment
//	manifests/SHA256     the blobs that the packets in it need,
//	archives/SHA256      each once, ordered by their digests
//	contents/SHA256
//	damaged/SHA256       empty: that blob could not be read; where the entry before it
//	                     is that blob, its bytes are not what they should be
//	end.json             how many blobs there are: without it the stream is not whole
//
// What always holds: the blobs are all that the database refers to, as the database
// is written first, blobs never change, and none is collected meanwhile. Memory does
// not depend on sizes. What Read has accepted has the digests that it is named by.
package backup

import (
	"errors"
	"io"
	"time"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// formVersion is that of the form.
const formVersion = 1

// Names in the archive.
const (
	nameHead     = "jamesd-backup.json"
	nameDatabase = "jamesd.db"
	nameEnd      = "end.json"
	dirDamaged   = "damaged"
)

// dirs are where the blobs are, by what they are.
var dirs = map[fleet.Part]string{fleet.PartManifest: "manifests", fleet.PartArchive: "archives", fleet.PartContent: "contents"}

// maxNote bounds the two files that are JSON, in bytes.
const maxNote = 64 << 10

// head is the first file.
type head struct {
	Version int       `json:"version"`
	Created time.Time `json:"created"`
	Program string    `json:"program"` // jamesd's version
}

// Summary is what a backup holds, and its last file.
type Summary struct {
	// Created is when it was begun, which is the moment of the database.
	Created time.Time `json:"created"`
	Packets int       `json:"packets"`
	Blobs   int64     `json:"blobs"`
	Bytes   int64     `json:"bytes"` // of the blobs
	// Damaged counts the blobs that could not be read, which it lacks.
	Damaged int64 `json:"damaged"`
}

// refused is what writing a backup, or a part of it, has failed with.
type refused struct {
	io.Writer
	err error
}

func (r *refused) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.Writer.Write(p)
	if err != nil {
		r.err = err
	}
	return n, err
}

// or returns what writing has failed with, or else err.
func (r *refused) or(err error) error {
	if err == nil || r.err == nil {
		return err
	}
	if known := (*james.Error)(nil); errors.As(r.err, &known) {
		return r.err
	}
	return james.Errorf(james.KindInterrupted, "backup", "writing it failed: %w", r.err)
}
