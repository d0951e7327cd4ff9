// Package blob defines where jamesd keeps bytes: archives, manifests and the
// contents of files, named by their sha256. The contract stands here; package blobtest checks it on every
// implementation.
//
// Every method is safe for concurrent use, also from several processes on one
// store where the implementation allows several. What Commit has acknowledged
// survives a crash. Memory use does not depend on the size of a blob. (Both only
// as far as a store in memory can.) A store that cannot be reached or has no room
// answers with james.KindUnavailable, a call whose context ends with
// james.KindInterrupted. No blob has the zero digest.
package blob

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Store is a set of blobs.
type Store interface {
	// Create starts a new blob. Nothing of it can be seen before its Commit, and
	// what is left of it after a crash is removed by Sweep. The context also ends
	// the writer's Write calls. The form is a wish: a blob is named by, has the
	// size of and reads as what was written, however it is kept.
	Create(ctx context.Context, form Form) (Writer, error)
	// Put commits contents that the caller holds as a whole, and takes hardly more
	// calls to a server, or waits for a disk, than one Commit does. For each of them
	// it does what Create, Write and Commit would; one that is there already is only
	// renewed. After an error any of them may be there. What it holds is a few times
	// what they have together, which should be 16 MiB at most.
	Put(ctx context.Context, form Form, contents [][]byte) error
	// Missing returns those blobs that are not there or are seen to be damaged.
	Missing(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error)
	// Renew is Missing that sets the Modified time of the others to now, as
	// committing them again would.
	Renew(ctx context.Context, digests []james.Digest) (missing []james.Digest, err error)
	// Open returns the blob of that digest for reading. It fails with
	// james.KindNotFound, or with james.KindCorrupt where the blob is seen to be
	// damaged; so does the reader later. A blob that is deleted while it is read is
	// either read to its end or fails with james.KindNotFound; it never reads as
	// something else. The context also ends the reader's Read calls.
	Open(ctx context.Context, digest james.Digest) (Reader, error)
	// Stat returns the blob's description, or fails with james.KindNotFound or
	// james.KindCorrupt.
	Stat(ctx context.Context, digest james.Digest) (Info, error)
	// Delete removes the blob. Deleting one that is not there succeeds.
	Delete(ctx context.Context, digest james.Digest) error
	// Expire removes the blob if its Modified time is before that time, and reports
	// whether it did; so does one that is seen to be damaged. A Renew or Commit of it
	// that meets Expire, also one of another process, either comes first, and the
	// blob stays, or finds it gone.
	Expire(ctx context.Context, digest james.Digest, before time.Time) (expired bool, err error)
	// List iterates over all blobs in no particular order. It ends after the
	// first error. A blob that is created or deleted meanwhile may be missed. A
	// damaged blob is listed too, so that it can be deleted.
	List(ctx context.Context) iter.Seq2[Listed, error]
	// Sweep removes what unfinished writers of before that time left behind, also
	// those of other processes. Should one of them go on after all, its Commit
	// fails with james.KindInterrupted if anything of it was removed.
	Sweep(ctx context.Context, before time.Time) error
	// Ping fails with james.KindUnavailable when the store does not answer.
	Ping(ctx context.Context) error
	// Close releases everything.
	Close() error
}

// Form is how a blob is kept at rest.
type Form int

// The forms.
const (
	// Plain is for what is compressed already, or read at any place again and again.
	Plain Form = iota
	// Compressed is for what may be much smaller compressed. What turns out not to
	// be is kept plain. Damage of a compressed blob never reads as content: it is
	// james.KindCorrupt.
	Compressed
)

// Writer takes a new blob's bytes in order. It is for one goroutine, and ends
// with the first error, with Commit or with Abort: it then holds nothing, and
// Write and Commit fail.
type Writer interface {
	io.Writer
	// Commit makes what was written durable and visible and returns its
	// description. It fails with james.KindCorrupt, and keeps nothing, when want
	// is not zero and not the digest of what was written. Committing a blob that
	// exists already succeeds, keeps one copy, and renews its Modified time. After
	// james.KindUnavailable or james.KindInterrupted the blob may be there.
	Commit(ctx context.Context, want james.Digest) (Info, error)
	// Abort drops what was written. After a Commit, also one that failed, it does
	// nothing, so it can be deferred.
	Abort() error
}

// Reader reads a blob from any place. It is for one goroutine.
type Reader interface {
	io.ReadSeekCloser
	// Size returns the blob's size in bytes.
	Size() int64
}

// Framed is a Reader of a blob that is kept compressed and can be handed out so.
type Framed interface {
	Reader
	// WriteFrames writes frames of zstd (RFC 8878) to w that decompress to the
	// content, none of which refers to more than 256 KiB before, or to another. It
	// fails as Read does, perhaps after some of the frames, and with what w fails
	// with. Where the blob is read is not changed.
	WriteFrames(w io.Writer) error
}

// Info describes a blob.
type Info struct {
	Digest james.Digest
	Size   int64 // bytes
	// Modified is the time of the last Commit; collecting unused blobs spares
	// new ones by it.
	Modified time.Time
}

// Listed is a blob as List finds it.
type Listed struct {
	Digest james.Digest
	Stored int64 // bytes that it takes at rest
	// Modified is as in Info.
	Modified time.Time
}
