package backup

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// What is held of small blobs, which are stored together.
const (
	smallBlob  = 1 << 20 // bytes at most
	batchSize  = 4 << 20 // bytes
	batchBlobs = 4096
)

// Read reads a backup from r to its end: the database to db, and the blobs, each of
// which is compared with its digest, to blobs. It fails with james.KindCorrupt for
// what is no backup, not a whole one, or damaged, and with james.KindConflict for one of a
// newer jamesd. What it was given is then of no use.
func Read(ctx context.Context, r io.Reader, db io.Writer, blobs blob.Store) (Summary, error) {
	packed, err := zstd.NewReader(untilDone{ctx, r}, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return Summary{}, err
	}
	defer packed.Close()
	b := &reader{tar: tar.NewReader(packed), db: db, blobs: blobs, batches: map[blob.Form]*batch{blob.Plain: {}, blob.Compressed: {}}}
	err = b.read(ctx)
	if err == nil {
		err = rest(packed)
	}
	return b.end, explain(err)
}

// untilDone is a reader that fails once ctx has ended.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := blob.Interrupted(u.ctx, "backup"); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

// rest reads what follows the archive, which are zeros and checksums.
func rest(packed io.Reader) error {
	_, err := io.Copy(io.Discard, packed)
	return err
}

// explain returns what reading a backup has failed with.
func explain(err error) error {
	var known *james.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return err
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return corrupt("is cut off").WithHint("Take another backup: this one was not finished, or not copied to its end.")
	case errors.Is(err, zstd.ErrMagicMismatch), errors.Is(err, tar.ErrHeader):
		return corrupt("is none of jamesd, or it is damaged: %w", err)
	}
	return corrupt("is damaged: %w", err)
}

func corrupt(format string, args ...any) *james.Error {
	return james.Errorf(james.KindCorrupt, "backup", format, args...)
}

// batch is small blobs that are not stored yet.
type batch struct {
	contents [][]byte
	size     int // bytes
}

// reader is one backup on its way in.
type reader struct {
	tar   *tar.Reader
	db    io.Writer
	blobs blob.Store

	batches map[blob.Form]*batch
	wrong   string  // the last blob that is not what it is named by, "" for none
	sum     Summary // of what has come
	end     Summary // of what has been sent
	entries int
}

func (b *reader) read(ctx context.Context) error {
	for {
		h, err := b.tar.Next()
		if err == io.EOF {
			return corrupt("has no end").WithHint("Take another backup: this one was not finished, or not copied to its end.")
		}
		if err != nil {
			return err
		}
		done, err := b.entry(ctx, h)
		if err != nil || done {
			return err
		}
		b.entries++
	}
}

// entry takes one file of the archive, and reports whether it is the last.
func (b *reader) entry(ctx context.Context, h *tar.Header) (done bool, err error) {
	dir, name, _ := strings.Cut(h.Name, "/")
	if b.wrong != "" && h.Name != dirDamaged+"/"+b.wrong {
		return false, corrupt("is damaged: blob %s in it is something else", b.wrong)
	}
	switch {
	case h.Typeflag != tar.TypeReg:
	case b.entries == 0 && h.Name == nameHead:
		return false, b.head()
	case b.entries == 1 && h.Name == nameDatabase:
		_, err := io.Copy(b.db, b.tar)
		return false, err
	case b.entries > 1 && h.Name == nameEnd:
		return true, b.finish(ctx)
	case b.entries > 1 && dir == dirDamaged && h.Size == 0:
		b.wrong = ""
		b.sum.Damaged++
		return false, nil
	case b.entries > 1:
		return false, b.blob(ctx, dir, name, h.Size)
	}
	return false, corrupt("has a file %.100q at place %d", h.Name, b.entries)
}

// note reads a file that is JSON.
func (b *reader) note(v any) error {
	raw, err := io.ReadAll(io.LimitReader(b.tar, maxNote))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return corrupt("is damaged: %w", err)
	}
	return nil
}

func (b *reader) head() error {
	var h head
	if err := b.note(&h); err != nil {
		return err
	}
	if h.Version != formVersion {
		return james.Errorf(james.KindConflict, "backup", "is of version %d, this jamesd knows %d; it was made by jamesd %.100s", h.Version, formVersion, h.Program).
			WithHint("Restore it with the jamesd that made it.")
	}
	return nil
}

// blob takes one, which has to be what it is named by, or to be said to be damaged.
func (b *reader) blob(ctx context.Context, dir, name string, size int64) error {
	d, err := james.ParseDigest(name)
	form, ok := forms[dir]
	if err != nil || !ok {
		return corrupt("has a file %.100q", dir+"/"+name)
	}
	if size <= smallBlob {
		err = b.small(ctx, d, form, size)
	} else {
		err = b.large(ctx, d, form)
	}
	if err == nil {
		b.sum.Blobs++
		b.sum.Bytes += size
	}
	if errors.Is(err, errWrong) {
		b.wrong = name
		return nil
	}
	return err
}

// forms are those in which blobs are kept, by their directory in the archive.
var forms = map[string]blob.Form{
	dirs[fleet.PartManifest]: blob.Plain, dirs[fleet.PartArchive]: blob.Plain, dirs[fleet.PartContent]: blob.Compressed,
}

// errWrong is for a blob that is not what it is named by.
var errWrong = errors.New("wrong digest")

func (b *reader) small(ctx context.Context, d james.Digest, form blob.Form, size int64) error {
	content := make([]byte, size)
	if _, err := io.ReadFull(b.tar, content); err != nil {
		return err
	}
	if james.DigestOf(content) != d {
		return errWrong
	}
	held := b.batches[form]
	held.contents = append(held.contents, content)
	if held.size += len(content); held.size < batchSize && len(held.contents) < batchBlobs {
		return nil
	}
	return b.put(ctx, form)
}

// put stores the small ones that are held.
func (b *reader) put(ctx context.Context, form blob.Form) error {
	held := b.batches[form]
	err := b.blobs.Put(ctx, form, held.contents)
	*held = batch{}
	return err
}

func (b *reader) large(ctx context.Context, d james.Digest, form blob.Form) error {
	w, err := b.blobs.Create(ctx, form)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := io.Copy(w, b.tar); err != nil {
		return err
	}
	_, err = w.Commit(ctx, d)
	if james.KindOf(err) == james.KindCorrupt {
		return errWrong
	}
	return err
}

// finish takes the end, which has to go with all that came before.
func (b *reader) finish(ctx context.Context) error {
	if err := b.note(&b.end); err != nil {
		return err
	}
	if b.sum.Blobs != b.end.Blobs || b.sum.Bytes != b.end.Bytes || b.sum.Damaged != b.end.Damaged {
		return corrupt("is damaged: it has %d blobs of %d bytes, and says %d of %d", b.sum.Blobs, b.sum.Bytes, b.end.Blobs, b.end.Bytes)
	}
	if err := b.put(ctx, blob.Plain); err != nil {
		return err
	}
	return b.put(ctx, blob.Compressed)
}
