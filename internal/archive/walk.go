package archive

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// item is one entry of an archive: its header, its place, and its content,
// which is empty for all but regular files.
type item struct {
	hdr     *tar.Header
	path    james.Path
	content io.Reader
}

// walker reads one archive. Two meters watch it: src the bytes as they come,
// raw those of the tar in it.
type walker struct {
	lim    Limits
	format string
	src    meter
	in     *bufio.Reader // buffers src
	raw    meter
	tar    *tar.Reader
	block  blockKeeper // between tar and raw
	// size sums the sizes of the files so far, headers counts all that was listed.
	size    int64
	headers int
	// at is the name of the entry that is being read, or else of the last;
	// inside tells which.
	at     string
	inside bool
}

// walk calls visit for every entry of the archive r, in its order, and returns
// its format. It reads r to its end. What it refuses is james.KindInvalid; an
// error of visit is returned as it is, and one of r as james.KindInterrupted
// unless it has a kind.
func walk(ctx context.Context, r io.Reader, lim Limits, visit func(item) error) (string, error) {
	w := &walker{lim: lim}
	w.src = meter{ctx: ctx, r: r, max: lim.MaxArchive, fail: readError, over: func() error {
		return invalid("%w of %d bytes", ErrMaxArchive, lim.MaxArchive)
	}}
	w.in = bufio.NewReaderSize(&w.src, 64<<10)
	done, err := w.open(ctx)
	defer done()
	if err == nil {
		err = w.entries(visit)
	}
	if err != nil {
		return "", err
	}
	return w.format, w.end()
}

// readError is the failure of the reader that the archive comes from.
func readError(err error) error {
	var known *james.Error
	if errors.As(err, &known) {
		return err
	}
	return james.Errorf(james.KindInterrupted, "archive", "it could not be read: %w", err)
}

// open recognises the format and prepares the tar reader.
func (w *walker) open(ctx context.Context) (done func(), err error) {
	done = func() {}
	head, err := w.in.Peek(blockSize)
	switch {
	case w.src.fault != nil:
		return done, w.src.fault
	case len(head) == 0:
		return done, invalid("is empty")
	case err != nil && err != io.EOF:
		return done, err
	}
	if w.format = formatOf(head); w.format == "" {
		return done, invalid("is %s; a packet is a tar, compressed with xz, gzip, bzip2, zstd or not at all", describe(head)).
			WithHint("Make one with: tar cfvJ packet.tar.xz -C ROOT .")
	}
	content, done, err := decompressor(w.format, w.in, w.lim.Workers)
	if err != nil {
		return done, w.streamFault(err)
	}
	return done, w.openTar(ctx, content)
}

func (w *walker) openTar(ctx context.Context, content io.Reader) error {
	buffered := w.in
	if w.format != FormatTar {
		buffered = bufio.NewReaderSize(content, 32<<10)
	}
	w.raw = meter{ctx: ctx, r: buffered, max: baseOverhead, fail: w.streamFault, over: func() error {
		return invalid("unpacks to far more than its files, %s", w.where()).
			WithHint("Such an archive exhausts who unpacks it; make it anew with tar.")
	}}
	head, err := buffered.Peek(blockSize)
	if err != nil && err != io.EOF {
		return w.streamFault(err)
	}
	if w.format != FormatTar && !isTar(head) {
		if len(head) == 0 {
			return invalid("is compressed with %s and holds nothing, not a tar", w.format)
		}
		return invalid("is compressed with %s and holds %s, not a tar", w.format, describe(head))
	}
	w.block.r = &w.raw
	w.tar = tar.NewReader(&w.block)
	return nil
}

// entries visits all entries up to the tar's end marker.
func (w *walker) entries(visit func(item) error) error {
	for {
		// Everything before was read, so the next header begins at the next block.
		begin := (w.raw.n + blockSize - 1) / blockSize * blockSize
		hdr, err := w.tar.Next()
		if errors.Is(err, tar.ErrInsecurePath) {
			err = nil // pathOf decides
		}
		if err == io.EOF && w.raw.fault == nil {
			return w.marker(w.raw.n - begin)
		}
		if err != nil {
			return w.headerError(err)
		}
		// What is no entry counts as well: the root, or a comment, may come often.
		if w.headers++; w.headers <= w.lim.MaxEntries {
			w.raw.max += entryOverhead
		}
		if err := w.visit(hdr, visit); err != nil {
			return err
		}
	}
}

// marker checks the end marker, of which n bytes were read with what came
// before it. The tar reader also takes the end of the input for it, and does
// not mind an extended header that belongs to no entry.
func (w *walker) marker(n int64) error {
	switch {
	case w.block.zeros < 2:
		return invalid("ends without an end marker, %s; it is truncated", w.where())
	case n > 2*blockSize:
		return invalid("ends with a header that belongs to no entry, %s", w.where())
	}
	return nil
}

func (w *walker) visit(hdr *tar.Header, visit func(item) error) error {
	if hdr.Typeflag == tar.TypeXGlobalHeader {
		return checkGlobal(hdr)
	}
	path, err := pathOf(hdr.Name)
	if err != nil {
		return err
	}
	w.at, w.inside = path.String(), true
	if err := w.addSize(hdr); err != nil {
		return err
	}
	content := &contentReader{w: w}
	if err := visit(item{hdr: hdr, path: path, content: content}); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, content); err != nil {
		return err
	}
	w.inside = false
	return nil
}

// addSize counts a file's content, before it is read.
func (w *walker) addSize(hdr *tar.Header) error {
	switch {
	case hdr.Size < 0:
		return james.Errorf(james.KindInvalid, w.at, "has the negative size %d", hdr.Size)
	case typeOf(hdr.Typeflag) != james.TypeFile:
		return nil // some tars state a size for what has no content
	case hdr.Size > w.lim.MaxSize-w.size:
		return james.Errorf(james.KindInvalid, w.at, "has %d bytes, with which %w of %d bytes", hdr.Size, ErrMaxSize, w.lim.MaxSize)
	}
	w.size += hdr.Size
	w.raw.max += hdr.Size
	return nil
}

// end reads what follows the end marker: zeros, as tar fills up its last
// record, and nothing else.
func (w *walker) end() error {
	buf := make([]byte, 4<<10)
	for {
		n, err := w.raw.Read(buf)
		switch {
		case !isZero(buf[:n]):
			return invalid("has data after the end of the tar").WithHint("Tars that were joined with cat are such; make one of all files.")
		case err == io.EOF:
			return w.noMore()
		case err != nil:
			return w.explain(err)
		}
	}
}

// noMore makes sure that the decompressor took everything.
func (w *walker) noMore() error {
	_, err := w.in.ReadByte()
	switch {
	case w.src.fault != nil:
		return w.src.fault
	case err == nil:
		return invalid("has data after the end of the %s stream", w.format)
	}
	return nil
}

// contentReader reads the content of the current entry. Its errors are ready to
// be returned.
type contentReader struct{ w *walker }

func (c *contentReader) Read(p []byte) (int, error) {
	if c.w.raw.ctx.Err() != nil { // holes are read without reading
		return 0, stopped(c.w.raw.ctx)
	}
	n, err := c.w.tar.Read(p)
	if err != nil && err != io.EOF {
		err = c.w.explain(err)
	}
	return n, err
}
