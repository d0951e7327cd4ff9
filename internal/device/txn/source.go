package txn

import (
	"context"
	"io"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// Source is where the manifests of a plan's packets come from, and the contents of
// files that the device has nowhere. It stores contents as files, each named by its
// digest and written once, and keeps them until Forget or until its owner drops
// them: over refused and undone transactions and the end of the process.
//
// # Who checks what
//
// When Fetch has succeeded, every content of the order is sound: the Source has
// compared its sha256 while it stored it, or has read it once since. It must read
// what an earlier process has left, and what it has handed out by Content before:
// whoever got that may have linked it, and a script may then have written to the
// installed file, which is the same inode. What is not sound it fetches again.
//
// The transaction links a content without reading it, once, and checks its type
// and size; what it copies it verifies while it reads. What turns out to be unsound
// then is fetched again, once, by a Fetch of the same order.
//
// # A content that was linked
//
// It may have any mode, owner, time and extended attributes from then on, and it
// may be an installed file. So the Source writes to no file that it has handed out,
// and to none that has more than one name: it removes its own name and makes
// another file. To remove its name is always harmless.
type Source interface {
	// Manifest returns the manifest of a packet, of which only the digest, the name
	// and the tags may be known. It has compared the digest. Nobody changes what it
	// returns.
	Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error)
	// Dir is where contents are stored, in whatever directories below it: all of
	// them are on the file system of Dir itself.
	Dir() *disk.Disk
	// Missing returns how many bytes Fetch would store now in Dir, without reading
	// what is there and without asking anybody.
	Missing(o *Order) int64
	// Fetch stores all contents of the order that are not there. It may be called
	// again, for the same or another order, after an error too. What was stored until
	// then is not asked for again. The files of an entry that is sparse are stored
	// with holes. Nothing need be durable. Where it fails on the way to the contents of
	// one packet it says so with a PacketError.
	Fetch(ctx context.Context, o *Order) error
	// Content returns the path in Dir of a content of the last order that was fetched.
	// It fails with KindCorrupt where that is known to be unsound by now, and with
	// KindNotFound where it is not there.
	Content(d james.Digest) (path string, err error)
	// Forget says that the files with these contents are installed for good, or that the
	// disk may have lost them. The Source removes its names of them before it returns: a
	// name that goes later is a change to an installed file, which the next verification
	// has to read then.
	Forget(contents []james.Digest)
}

// PacketError is a failure that is about one packet of an order.
type PacketError struct {
	Packet *james.Packet // of one of Order.Wants
	Err    error
}

func (e *PacketError) Error() string { return e.Err.Error() }
func (e *PacketError) Unwrap() error { return e.Err }

// Order are contents that a transaction needs, all of them, and what may help to
// get them.
type Order struct {
	Wants []Want
	// Have are installed packets, those first that the wanted ones resemble most.
	Have []Have
	// Base opens a file of Have for reading: the entry-th of the manifest of the
	// have-th. It fails with KindCorrupt where no regular file of that size is
	// installed there any more. Whether it has the digest of the manifest, or was
	// edited, it is for the Source to check before it relies on it.
	Base func(have, entry int) (BaseFile, error)
	// Use is called right before bytes are stored, with their number: room that was
	// reserved for them is given free.
	Use func(bytes int64)
}

// Want are files of one packet whose contents are wanted, by their places in the
// manifest, ascending. No digest is wanted twice in an order, and no empty file.
type Want struct {
	Packet   *james.Packet
	Manifest *james.Manifest
	Entries  []int
}

// Have is an installed packet.
type Have struct {
	App      james.App
	Manifest *james.Manifest
}

// BaseFile is an installed file that is open for reading.
type BaseFile interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// Empty reports whether nothing is wanted.
func (o *Order) Empty() bool { return len(o.Wants) == 0 }
