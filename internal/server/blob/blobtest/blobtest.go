// Package blobtest checks that an implementation of blob.Store keeps the
// contract that stands there. Every implementation runs the one suite, so that
// the rest of jamesd need not know which of them it has.
package blobtest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// Run checks the contract as far as one process can see it, once for each form of
// blobs. open returns a new, empty store for each of the many tests, which run in
// parallel; Run closes them.
func Run(t *testing.T, open func(t *testing.T) blob.Store) {
	for name, form := range forms {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T) blob.Store { return inForm{open(t), form} })
		})
	}
}

var forms = map[string]blob.Form{"plain": blob.Plain, "compressed": blob.Compressed}

// inForm is a store all of whose blobs are wanted in one form.
type inForm struct {
	blob.Store
	form blob.Form
}

func (s inForm) Create(ctx context.Context, _ blob.Form) (blob.Writer, error) {
	return s.Store.Create(ctx, s.form)
}

func (s inForm) Put(ctx context.Context, _ blob.Form, contents [][]byte) error {
	return s.Store.Put(ctx, s.form, contents)
}

func run(t *testing.T, open func(t *testing.T) blob.Store) {
	suites := []struct {
		name  string
		tests map[string]func(t *testing.T, s blob.Store)
	}{
		{"Write", writeTests},
		{"Put", putTests},
		{"Read", readTests},
		{"Manage", manageTests},
		{"Concurrent", concurrentTests},
	}
	for _, suite := range suites {
		t.Run(suite.name, func(t *testing.T) {
			for name, test := range suite.tests {
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					s := open(t)
					t.Cleanup(func() { noError(t, s.Close()) })
					test(t, s)
				})
			}
		})
	}
}

// Bytes returns n bytes that look random and are the same for the same seed. They
// can be compressed to three quarters.
func Bytes(seed byte, n int) []byte {
	out := make([]byte, n)
	_, _ = source(seed).Read(out)
	return out
}

func source(seed byte) io.Reader { return sixBits{rand.NewChaCha8([32]byte{seed})} }

type sixBits struct{ r io.Reader }

func (s sixBits) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	for i := range p[:n] {
		p[i] &= 0x3f
	}
	return n, err
}

// Put commits content, in pieces of odd sizes, and fails the test if that fails.
func Put(t testing.TB, s blob.Store, content []byte) blob.Info {
	t.Helper()
	w := Unfinished(t, s, content)
	info, err := w.Commit(t.Context(), james.DigestOf(content))
	noError(t, err)
	return info
}

// Unfinished returns a writer that content was written to, in pieces of odd sizes.
func Unfinished(t testing.TB, s blob.Store, content []byte) blob.Writer {
	t.Helper()
	w, err := s.Create(t.Context(), blob.Plain)
	noError(t, err)
	for size := 1; len(content) > 0; size = size*3 + 1 {
		piece := content[:min(size, len(content))]
		n, err := w.Write(piece)
		noError(t, err)
		equal(t, n, len(piece), "bytes written")
		content = content[n:]
	}
	return w
}

// Check fails the test unless s has content, the whole of it.
func Check(t testing.TB, s blob.Store, content []byte) {
	t.Helper()
	r := open(t, s, james.DigestOf(content))
	defer closeReader(t, r)
	equal(t, r.Size(), int64(len(content)), "size")
	got, err := io.ReadAll(r)
	noError(t, err)
	if !bytes.Equal(got, content) {
		t.Errorf("read %d bytes of digest %s, want the %d of %s",
			len(got), james.DigestOf(got).Short(), len(content), james.DigestOf(content).Short())
	}
	if got, err, ok := frames(r); ok && (err != nil || !bytes.Equal(got, content)) {
		t.Errorf("its frames have %d bytes of digest %s: %v", len(got), james.DigestOf(got).Short(), err)
	}
}

// frames returns what the frames of a blob decompress to that can be handed out as it
// is kept.
func frames(r blob.Reader) (content []byte, err error, ok bool) {
	framed, ok := r.(blob.Framed)
	if !ok {
		return nil, nil, false
	}
	var kept bytes.Buffer
	failed := framed.WriteFrames(&kept)
	d, err := zstd.NewReader(&kept, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(256<<10))
	if err != nil {
		return nil, err, true
	}
	defer d.Close()
	content, err = io.ReadAll(d)
	return content, cmp.Or(failed, err), true
}

// Infos returns what s lists, by digest; it fails the test for a digest that is
// listed twice.
func Infos(t testing.TB, s blob.Store) map[james.Digest]blob.Listed {
	t.Helper()
	infos := make(map[james.Digest]blob.Listed)
	for info, err := range s.List(t.Context()) {
		noError(t, err)
		if _, twice := infos[info.Digest]; twice {
			t.Errorf("blob %s is listed twice", info.Digest.Short())
		}
		infos[info.Digest] = info
	}
	return infos
}

// listed fails the test unless s lists that blob.
func listed(t testing.TB, s blob.Store, info blob.Info) {
	t.Helper()
	got := Infos(t, s)[info.Digest]
	equal(t, got.Digest, info.Digest, "listed digest")
	equal(t, got.Modified, info.Modified, "listed time")
	if got.Stored > info.Size || info.Size > 0 && got.Stored == 0 {
		t.Errorf("a blob of %d bytes is listed with %d", info.Size, got.Stored)
	}
}

// Absent fails the test if s has the blob in any way.
func Absent(t testing.TB, s blob.Store, digest james.Digest) {
	t.Helper()
	_, err := s.Stat(t.Context(), digest)
	Kind(t, err, james.KindNotFound)
	_, err = s.Open(t.Context(), digest)
	Kind(t, err, james.KindNotFound)
	if _, there := Infos(t, s)[digest]; there {
		t.Errorf("blob %s is listed", digest.Short())
	}
}

// Kind fails the test unless err is a *james.Error of that kind with a subject.
func Kind(t testing.TB, err error, want james.Kind) {
	t.Helper()
	var e *james.Error
	if !errors.As(err, &e) {
		t.Fatalf("error is %v (%T), want a *james.Error of kind %s", err, err, want)
	}
	if e.Kind != want {
		t.Errorf("error %q has kind %s, want %s", e, e.Kind, want)
	}
	if e.Subject == "" {
		t.Errorf("error %q names nothing", e)
	}
}

func open(t testing.TB, s blob.Store, digest james.Digest) blob.Reader {
	t.Helper()
	r, err := s.Open(t.Context(), digest)
	noError(t, err)
	return r
}

func closeReader(t testing.TB, r io.Closer) {
	t.Helper()
	noError(t, r.Close())
}

// tick returns when the clock has moved on by what every store can tell apart.
func tick() {
	for start := time.Now(); time.Since(start) < 2*time.Millisecond; {
		continue
	}
}

func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func noError(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("unexpected error of kind %s: %v", james.KindOf(err), err)
	}
}

func equal[T comparable](t testing.TB, got, want T, what string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
