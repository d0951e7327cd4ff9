package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// BuildOptions say how Build makes an archive.
type BuildOptions struct {
	// Format is FormatXz, which is the default, FormatZstd, FormatGzip or
	// FormatTar.
	Format string
	// KeepOwner stores owners, by number and by name. Otherwise everything
	// belongs to root, 0:0.
	KeepOwner bool
	// Time is the latest time of modification in the archive: later ones are set
	// back to it, as the SOURCE_DATE_EPOCH convention has it. The zero Time
	// stands for one second after the beginning of 1970, so that two copies of a
	// tree, whose times differ, are alike; programs that compare times, such as
	// web servers, are served better by the time of the release.
	Time time.Time
	// Progress, where set, is told of every entry and, in large files, of every
	// few hundred KiB: done of total bytes of file content are read.
	Progress func(p james.Path, done, total int64)
}

// Build writes the directory tree as an archive that is the same for the same
// tree, byte by byte, wherever and whenever it is made: entries sorted by path as
// in a manifest, times to the second and bounded by o.Time, owners 0:0 unless
// o.KeepOwner, plain ustar headers where they suffice and PAX otherwise. Modes
// with setuid, setgid and sticky bits, symbolic links, hard links, and the
// extended attributes security.capability and user.* are kept; sparse files are
// stored plainly. dir itself is not an entry.
//
// It fails with james.KindInvalid for what a packet cannot hold: sockets, devices
// and fifos, more than james.MaxEntries entries, names longer than Linux allows;
// with james.KindConflict when the tree changes meanwhile; with
// james.KindInterrupted when ctx is done. w then holds a part of an archive.
func Build(ctx context.Context, w io.Writer, dir string, o BuildOptions) error {
	if o.Time.IsZero() {
		o.Time = time.Unix(1, 0)
	}
	out := bufio.NewWriterSize(w, 64<<10)
	packed, err := compressor(o.Format, out)
	if err != nil {
		return err
	}
	root, nodes, err := listTree(ctx, dir)
	if err != nil {
		return err
	}
	defer root.Close()
	b := &builder{ctx: ctx, o: o, root: root, tar: tar.NewWriter(packed), names: newOwnerNames()}
	if err := b.addAll(nodes); err != nil {
		return err
	}
	for _, end := range []func() error{b.tar.Close, packed.Close, out.Flush} {
		if err := end(); err != nil {
			return james.Errorf(james.KindOf(err), "archive", "it could not be written: %w", err)
		}
	}
	return nil
}

// builder writes one archive.
type builder struct {
	ctx   context.Context
	o     BuildOptions
	root  *os.Root
	tar   *tar.Writer
	names *ownerNames

	done, total int64
}

func (b *builder) addAll(nodes []node) error {
	for i := range nodes {
		b.total += nodes[i].contentSize()
	}
	for i := range nodes {
		if err := b.add(&nodes[i]); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) add(n *node) error {
	if b.ctx.Err() != nil {
		return stopped(b.ctx)
	}
	hdr, err := b.header(n)
	if err != nil {
		return err
	}
	if err := b.tar.WriteHeader(hdr); err != nil {
		return writeError(n.path, err)
	}
	if hdr.Typeflag == tar.TypeReg {
		if err := b.content(n); err != nil {
			return err
		}
	}
	b.progress(n.path)
	return nil
}

func (b *builder) progress(p james.Path) {
	if b.o.Progress != nil {
		b.o.Progress(p, b.done, b.total)
	}
}

// header describes n. The tar writer chooses the simplest format that holds it.
func (b *builder) header(n *node) (*tar.Header, error) {
	hdr := &tar.Header{Name: string(n.path), Mode: n.mode(), ModTime: b.time(n.info.ModTime())}
	if b.o.KeepOwner {
		hdr.Uid, hdr.Gid = n.stat.uid, n.stat.gid
		hdr.Uname, hdr.Gname = b.names.user(hdr.Uid), b.names.group(hdr.Gid)
	}
	var err error
	switch {
	case n.first != "":
		hdr.Typeflag, hdr.Linkname = tar.TypeLink, string(n.first)
		return hdr, nil
	case n.info.Mode().Type() == fs.ModeSymlink:
		hdr.Typeflag, hdr.Mode = tar.TypeSymlink, 0o777
		if hdr.Linkname, err = b.root.Readlink(string(n.path)); err != nil {
			return nil, b.readError(n, err)
		}
		return hdr, nil
	case n.info.IsDir():
		hdr.Typeflag, hdr.Name = tar.TypeDir, hdr.Name+"/"
	default:
		hdr.Typeflag, hdr.Size = tar.TypeReg, n.info.Size()
	}
	hdr.PAXRecords, err = b.xattrs(n)
	return hdr, err
}

func (b *builder) time(t time.Time) time.Time {
	if t.After(b.o.Time) {
		t = b.o.Time
	}
	return time.Unix(t.Unix(), 0)
}

func (b *builder) xattrs(n *node) (map[string]string, error) {
	f, err := b.open(n)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	attrs, err := readXattrs(f)
	if err != nil {
		return nil, b.readError(n, err)
	}
	if len(attrs) == 0 {
		return nil, nil
	}
	records := make(map[string]string, len(attrs))
	for k, v := range attrs {
		if len(v) > james.MaxXattr {
			return nil, james.Errorf(james.KindInvalid, n.path.String(), "has the extended attribute %.60q of %d bytes, the limit is %d", k, len(v), james.MaxXattr)
		}
		records[paxXattr+encodeXattr.Replace(k)] = v
	}
	return records, nil
}

// open opens a file or directory, if it is still the one that was listed. It
// does not wait for the other end of a fifo that took its place.
func (b *builder) open(n *node) (*os.File, error) {
	f, err := b.root.OpenFile(string(n.path), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, b.readError(n, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = b.readError(n, err)
	case !n.is(info):
		err = changed(n.path)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// readError is the failure to read n, whose cause may be that it is not there
// any more.
func (b *builder) readError(n *node, err error) error {
	if now, gone := b.root.Lstat(string(n.path)); gone != nil || !n.is(now) {
		return changed(n.path)
	}
	return readFileError(n.path, err)
}

// content copies a file, which must have the size that its header states.
func (b *builder) content(n *node) error {
	f, err := b.open(n)
	if err != nil {
		return err
	}
	defer f.Close()
	buf := make([]byte, 256<<10)
	for left := n.info.Size(); ; {
		if b.ctx.Err() != nil {
			return stopped(b.ctx)
		}
		k, err := f.Read(buf)
		if left -= int64(k); left < 0 {
			return changed(n.path)
		}
		if _, err := b.tar.Write(buf[:k]); err != nil {
			return writeError(n.path, err)
		}
		b.done += int64(k)
		switch {
		case err == io.EOF && left > 0:
			return changed(n.path)
		case err == io.EOF:
			return nil
		case err != nil:
			return b.readError(n, err)
		}
		b.progress(n.path)
	}
}

func changed(p james.Path) error {
	return james.Errorf(james.KindConflict, p.String(), "was changed while it was read").
		WithHint("Build the packet when nothing writes to the directory.")
}

// readFileError is the failure to read something of the tree.
func readFileError(p james.Path, err error) error {
	kind := james.KindInternal
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return changed(p)
	case errors.Is(err, fs.ErrPermission):
		kind = james.KindDenied
	}
	return james.Errorf(kind, p.String(), "could not be read: %w", err)
}

// writeError is the failure to write an entry: the writer below has failed, or
// the tar format cannot hold it.
func writeError(p james.Path, err error) error {
	kind := james.KindOf(err)
	if errors.Is(err, tar.ErrHeader) || errors.Is(err, tar.ErrFieldTooLong) {
		kind = james.KindInvalid
	}
	return james.Errorf(kind, p.String(), "could not be written: %w", err)
}
