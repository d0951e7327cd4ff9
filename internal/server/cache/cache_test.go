package cache_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

const roomy = 64 << 20

func open(t *testing.T, dir string, limit int64) *cache.Cache {
	t.Helper()
	c, err := cache.Open(dir, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// content returns n bytes that differ from those of other seeds.
func content(seed uint64, n int) []byte {
	out := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)})
	src.Read(out)
	return out
}

// writing returns a maker of those bytes.
func writing(p []byte) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		_, err := w.Write(p)
		return err
	}
}

// never is the maker of an entry that must be there.
func never(t *testing.T) func(context.Context, io.Writer) error {
	return func(context.Context, io.Writer) error {
		t.Error("an entry that is there was made again")
		return nil
	}
}

func fill(t *testing.T, c *cache.Cache, key string, p []byte) {
	t.Helper()
	e, err := c.Fill(t.Context(), key, writing(p))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got, err := io.ReadAll(e); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("read %d bytes of %d, error %v", len(got), len(p), err)
	}
	c.Quiet() // a reader has all bytes before they are kept
}

// has checks that the entry is there and whole, without making it.
func has(t *testing.T, c *cache.Cache, key string, p []byte) {
	t.Helper()
	e, ok := c.Open(t.Context(), key)
	if !ok {
		t.Fatalf("there is no %s", key)
	}
	defer e.Close()
	if got, err := io.ReadAll(e); err != nil || !bytes.Equal(got, p) {
		t.Fatalf("%s: read %d bytes of %d, error %v", key, len(got), len(p), err)
	}
}

func lacks(t *testing.T, c *cache.Cache, key string) {
	t.Helper()
	if e, ok := c.Open(t.Context(), key); ok {
		e.Close()
		t.Errorf("there is %s", key)
	}
}

func wantKind(t *testing.T, err error, kind james.Kind) {
	t.Helper()
	if james.KindOf(err) != kind {
		t.Errorf("error %v of kind %q, want %q", err, james.KindOf(err), kind)
	}
}

func TestReader(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, cache.Block - 1, cache.Block, cache.Block + 1, 5*cache.Block + 77} {
		c := open(t, t.TempDir(), roomy)
		p := content(uint64(size), size)
		fill(t, c, "k", p)
		e, ok := c.Open(t.Context(), "k")
		if !ok {
			t.Fatal("it is not there")
		}
		if err := iotest.TestReader(e, p); err != nil {
			t.Errorf("%d bytes: %v", size, err)
		}
		if n, whole := e.Size(); n != int64(size) || !whole {
			t.Errorf("size is %d, %t", n, whole)
		}
		e.Close()
		_, err := e.Read(make([]byte, 1))
		wantKind(t, err, james.KindInternal)
	}
}

func TestFollow(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), roomy)
	p := content(1, 3*cache.Block+5)
	pieces := make(chan []byte)
	leader, err := c.Fill(t.Context(), "k", nothingYet(t, pieces))
	if err != nil {
		t.Fatal(err)
	}
	defer leader.Close()
	follower, err := c.Fill(t.Context(), "k", never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer follower.Close()
	if leader.ID() != follower.ID() {
		t.Error("two IDs for one entry")
	}
	if n, whole := follower.Size(); n != 1 || whole {
		t.Errorf("size is %d, %t", n, whole)
	}
	buf := make([]byte, len(p)+1)
	buf[0] = 'x'
	read := 1
	skip(t, leader, 1)
	for rest := p; len(rest) > 0; {
		piece := rest[:min(len(rest), 10_000)]
		rest = rest[len(piece):]
		pieces <- piece
		if _, err := io.ReadFull(leader, buf[read:read+len(piece)]); err != nil {
			t.Fatal(err)
		}
		read += len(piece)
	}
	close(pieces)
	want := append([]byte("x"), p...)
	if n, err := leader.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if !bytes.Equal(buf, want) {
		t.Error("the leader read something else")
	}
	if got, err := io.ReadAll(follower); err != nil || !bytes.Equal(got, want) {
		t.Errorf("the follower read %d bytes, error %v", len(got), err)
	}
	if err := follower.Wait(); err != nil {
		t.Error(err)
	}
}

func nothingYet(t *testing.T, pieces <-chan []byte) func(context.Context, io.Writer) error {
	return func(_ context.Context, w io.Writer) error {
		if _, err := w.Write([]byte("x")); err != nil {
			return err
		}
		for piece := range pieces {
			if _, err := w.Write(piece); err != nil {
				t.Error(err)
			}
		}
		return nil
	}
}

func skip(t *testing.T, e *cache.Entry, n int64) {
	t.Helper()
	if _, err := io.CopyN(io.Discard, e, n); err != nil {
		t.Fatal(err)
	}
}

func TestMakingFails(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), roomy)
	cause := james.Errorf(james.KindDenied, "x", "no")

	_, err := c.Fill(t.Context(), "at once", func(context.Context, io.Writer) error { return cause })
	if !errors.Is(err, cause) {
		t.Errorf("error %v", err)
	}
	lacks(t, c, "at once")

	fail := make(chan struct{})
	half := func(_ context.Context, w io.Writer) error {
		w.Write([]byte("half"))
		<-fail
		return cause
	}
	first, err := c.Fill(t.Context(), "late", half)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, _ := c.Open(t.Context(), "late")
	defer second.Close()
	close(fail)
	for _, e := range []*cache.Entry{first, second} {
		if got, err := io.ReadAll(e); string(got) != "half" || !errors.Is(err, cause) {
			t.Errorf("read %q, error %v", got, err)
		}
		if err := e.Wait(); !errors.Is(err, cause) {
			t.Errorf("waited: %v", err)
		}
		if _, err := e.Seek(0, io.SeekEnd); !errors.Is(err, cause) {
			t.Errorf("sought: %v", err)
		}
	}
	fill(t, c, "late", []byte("whole now"))
	if s := c.Stats(); s.Failed != 2 || s.Entries != 1 {
		t.Errorf("stats are %+v", s)
	}

	_, err = c.Fill(t.Context(), "panic", func(context.Context, io.Writer) error { panic("ouch") })
	wantKind(t, err, james.KindInternal)
}

func TestEndedContext(t *testing.T) {
	t.Parallel()
	c := open(t, t.TempDir(), roomy)
	begun, goOn := make(chan struct{}), make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-begun
		cancel()
	}()
	_, err := c.Fill(ctx, "k", func(_ context.Context, w io.Writer) error {
		close(begun)
		<-goOn
		_, err := w.Write([]byte("made all the same"))
		return err
	})
	wantKind(t, err, james.KindInterrupted)
	close(goOn)
	e, err := c.Fill(t.Context(), "k", never(t))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if got, err := io.ReadAll(e); err != nil || string(got) != "made all the same" {
		t.Errorf("read %q, error %v", got, err)
	}
}

func TestClose(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := open(t, dir, roomy)
	fill(t, c, "whole", []byte("whole"))
	kept, _ := c.Open(t.Context(), "whole")
	defer kept.Close()
	e, err := c.Fill(t.Context(), "half", func(ctx context.Context, w io.Writer) error {
		w.Write([]byte("half"))
		<-ctx.Done()
		_, err := w.Write([]byte("more"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(e); string(got) != "half" || james.KindOf(err) != james.KindInterrupted {
		t.Errorf("read %q, error %v", got, err)
	}
	if got, err := io.ReadAll(kept); err != nil || string(got) != "whole" {
		t.Errorf("read %q, error %v", got, err)
	}
	lacks(t, c, "whole")
	_, err = c.Fill(t.Context(), "whole", never(t))
	wantKind(t, err, james.KindUnavailable)
	has(t, open(t, dir, roomy), "whole", []byte("whole"))
}

func TestOneProcess(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "not", "there")
	c := open(t, dir, roomy)
	_, err := cache.Open(dir, roomy)
	wantKind(t, err, james.KindConflict)
	if !strings.Contains(james.HintOf(err), "--cache-dir") {
		t.Errorf("hint %q", james.HintOf(err))
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir, roomy)
}

func TestOpenFails(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		dir   string
		limit int64
		kind  james.Kind
	}{
		{"", 1, james.KindInvalid},
		{t.TempDir(), 0, james.KindInvalid},
		{file, 1, james.KindUnavailable},
	} {
		_, err := cache.Open(row.dir, row.limit)
		wantKind(t, err, row.kind)
	}
}

func TestLeavesOtherFilesAlone(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hex := strings.Repeat("ab", 32)
	others := []string{"letter.txt", "x.part", hex, hex + "-12.part", strings.ToUpper(hex) + "-" + hex[:32]}
	for _, name := range others {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, 100), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	remains := filepath.Join(dir, hex+"-"+hex[:32]+".part")
	if err := os.WriteFile(remains, make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	c := open(t, dir, 3*cache.Page)
	for i := range 10 {
		fill(t, c, string(rune('a'+i)), content(1, 100))
	}
	for _, name := range others {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(remains); err == nil {
		t.Error("what a crash left is still there")
	}
}
