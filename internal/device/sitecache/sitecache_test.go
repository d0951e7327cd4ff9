package sitecache_test

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	logtest "github.com/sirupsen/logrus/hooks/test"

	"github.com/trusch/jamesd/internal/device/sitecache"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// fake is a jamesd, or a cache of one, with one archive.
type fake struct {
	err    error         // of every answer
	after  time.Duration // that an answer takes
	cut    int64         // bytes after which a connection is lost; 0 for never
	asked  int
	poll   int
	report int
}

var content = bytes.Repeat([]byte("0123456789"), 1000)

func lost() error {
	return james.Errorf(james.KindUnavailable, "10.0.0.1:2761", "no connection within 3s")
}

func (f *fake) answer() error {
	f.asked++
	time.Sleep(f.after)
	return f.err
}

func (f *fake) Poll(context.Context, james.PollRequest) (james.PollResponse, error) {
	f.poll++
	return james.PollResponse{}, f.err
}

func (f *fake) Progress(context.Context, james.Progress) error { return nil }

func (f *fake) Report(context.Context, james.Report) error {
	f.report++
	return f.err
}

func (f *fake) Manifest(context.Context, james.Digest) (*james.Manifest, error) {
	if err := f.answer(); err != nil {
		return nil, err
	}
	return &james.Manifest{Name: "p"}, nil
}

func (f *fake) ArchiveOf(context.Context, james.Digest) (james.Archive, error) {
	return james.Archive{Size: int64(len(content))}, f.answer()
}

func (f *fake) Archive(_ context.Context, _ james.Digest, _ james.Archive, offset int64) (io.ReadCloser, error) {
	if err := f.answer(); err != nil {
		return nil, err
	}
	return f.body(offset), nil
}

func (f *fake) Blobs(_ context.Context, _ james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error) {
	if err := f.answer(); err != nil {
		return nil, err
	}
	return &client.BlobStream{ReadCloser: f.body(offset), ETag: `"one"`, Size: -1}, nil
}

func (f *fake) OfferBlobs(context.Context, james.BlobsRequest) (james.BlobsOffer, error) {
	return james.BlobsOffer{Size: 7}, f.answer()
}

func (f *fake) body(offset int64) io.ReadCloser {
	r := io.Reader(bytes.NewReader(content[offset:]))
	if f.cut > 0 {
		r = io.MultiReader(io.LimitReader(r, f.cut), broken{})
	}
	return io.NopCloser(r)
}

type broken struct{}

func (broken) Read([]byte) (int, error) {
	return 0, james.Errorf(james.KindUnavailable, "10.0.0.1:2761", "the connection was lost")
}

func newClient(server, cache *fake) (*sitecache.Client, *logtest.Hook) {
	log, hook := logtest.NewNullLogger()
	return sitecache.New(server, cache, log), hook
}

// calls are all that a cache is asked for.
var calls = map[string]func(*sitecache.Client) error{
	"manifest": func(c *sitecache.Client) error {
		_, err := c.Manifest(context.Background(), james.Digest{})
		return err
	},
	"archive of": func(c *sitecache.Client) error {
		_, err := c.ArchiveOf(context.Background(), james.Digest{})
		return err
	},
	"offer": func(c *sitecache.Client) error {
		_, err := c.OfferBlobs(context.Background(), james.BlobsRequest{})
		return err
	},
	"archive": func(c *sitecache.Client) error {
		r, err := c.Archive(context.Background(), james.Digest{}, james.Archive{}, 0)
		return readAll(r, err)
	},
	"blobs": func(c *sitecache.Client) error {
		s, err := c.Blobs(context.Background(), james.BlobsRequest{}, "", 0)
		if err != nil {
			return err
		}
		return readAll(s, nil)
	},
}

func readAll(r io.Reader, err error) error {
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err == nil && !bytes.Equal(got, content) {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// TestWhoIsAsked checks who answers what, by how the cache is.
func TestWhoIsAsked(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name   string
		cache  error
		server bool // jamesd is asked, too
		again  bool // the cache is asked the next time
	}{
		{"well", nil, false, true},
		{"denies", james.Errorf(james.KindDenied, "packet", "no"), true, true},
		{"lacks it", james.Errorf(james.KindNotFound, "packet", "no"), true, true},
		{"has another", james.Errorf(james.KindConflict, "packet", "no"), true, true},
		{"away", lost(), true, false},
		{"cut off from jamesd", james.Errorf(james.KindUnavailable, "jamesd", "the cache cannot ask it"), true, false},
		{"somebody else", james.Errorf(james.KindUnauthenticated, "10.0.0.1:2761", "the server's certificate"), true, false},
		{"no jamesd", james.Errorf(james.KindInternal, "10.0.0.1:2761", "404"), true, false},
		{"wrong manifest", james.Errorf(james.KindCorrupt, "manifest", "has another digest"), true, false},
	} {
		for what, call := range calls {
			t.Run(row.name+"/"+what, func(t *testing.T) {
				t.Parallel()
				server, cache := &fake{}, &fake{err: row.cache}
				c, _ := newClient(server, cache)
				for range 2 {
					if err := call(c); err != nil {
						t.Fatal(err)
					}
				}
				if got := server.asked; (got > 0) != row.server {
					t.Errorf("jamesd was asked %d times", got)
				}
				if want := map[bool]int{true: 2, false: 1}[row.again]; cache.asked != want {
					t.Errorf("the cache was asked %d times, want %d", cache.asked, want)
				}
			})
		}
	}
}

// TestEndToEnd checks that polls and reports are none of the cache's business.
func TestEndToEnd(t *testing.T) {
	t.Parallel()
	server, cache := &fake{}, &fake{}
	c, _ := newClient(server, cache)
	if _, err := c.Poll(t.Context(), james.PollRequest{}); err != nil {
		t.Error(err)
	}
	if err := c.Report(t.Context(), james.Report{}); err != nil {
		t.Error(err)
	}
	if server.poll != 1 || server.report != 1 || cache.poll+cache.report != 0 {
		t.Errorf("jamesd %+v, cache %+v", server, cache)
	}
}

// TestPatience checks how much a dead cache delays, and that it is found again.
func TestPatience(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, cache := &fake{}, &fake{err: lost(), after: sitecache.DialTimeout}
		c, hook := newClient(server, cache)
		begin := time.Now()
		for range 1000 {
			if err := calls["manifest"](c); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(begin); took != sitecache.DialTimeout {
			t.Errorf("a thousand requests took %s", took)
		}
		for range 24 * 60 {
			time.Sleep(time.Minute)
			if err := calls["archive"](c); err != nil {
				t.Fatal(err)
			}
		}
		if cache.asked < 100 || cache.asked > 160 {
			t.Errorf("in a day the cache was asked %d times, want about one in ten minutes", cache.asked)
		}
		cache.err, cache.after = nil, 0
		time.Sleep(11 * time.Minute)
		asked := server.asked
		if err := calls["blobs"](c); err != nil || server.asked != asked {
			t.Errorf("the cache is back, and jamesd was asked: %v", err)
		}
		if n := len(hook.AllEntries()); n != 2 {
			t.Errorf("%d lines were logged, want one for the loss and one for the return", n)
		}
	})
}

// TestBreaksOff checks that what the cache has begun goes on at jamesd, and that a
// cache that always breaks off is left alone longer and longer.
func TestBreaksOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, cache := &fake{}, &fake{cut: 100}
		c, _ := newClient(server, cache)
		fetch := func() {
			t.Helper()
			s, err := c.Blobs(t.Context(), james.BlobsRequest{}, "", 0)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(s)
			if err == nil || len(got) != 100 {
				t.Fatalf("read %d bytes, %v", len(got), err)
			}
			if s, err = c.Blobs(t.Context(), james.BlobsRequest{}, s.ETag, int64(len(got))); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(s)
			if err != nil || !bytes.Equal(append(got, rest...), content) {
				t.Fatalf("read %d more bytes, %v", len(rest), err)
			}
		}
		fetch()
		time.Sleep(31 * time.Second)
		fetch()
		if cache.asked != 2 || server.asked != 2 {
			t.Errorf("the cache was asked %d times, jamesd %d", cache.asked, server.asked)
		}
		time.Sleep(31 * time.Second)
		if err := calls["blobs"](c); err != nil || cache.asked != 2 {
			t.Errorf("the cache was asked %d times: %v", cache.asked, err)
		}
	})
}

// TestDoubt checks that a cache that sends what is not right is left alone, and that
// it is not blamed for what jamesd has sent.
func TestDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server, cache := &fake{}, &fake{}
		c, _ := newClient(server, cache)
		calls["blobs"](c)
		if !c.Doubt() {
			t.Error("the cache is not doubted")
		}
		time.Sleep(9 * time.Minute)
		calls["blobs"](c)
		if c.Doubt() {
			t.Error("the cache is blamed for what jamesd sent")
		}
		time.Sleep(2 * time.Minute)
		calls["blobs"](c)
		if cache.asked != 2 || server.asked != 1 {
			t.Errorf("the cache was asked %d times, jamesd %d", cache.asked, server.asked)
		}
	})
}

// TestCancelled checks that who gives up does not blame the cache.
func TestCancelled(t *testing.T) {
	t.Parallel()
	server, cache := &fake{}, &fake{err: context.Canceled}
	c, _ := newClient(server, cache)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Manifest(ctx, james.Digest{}); err == nil || server.asked != 0 {
		t.Errorf("jamesd was asked %d times, %v", server.asked, err)
	}
	cache.err = nil
	if err := calls["manifest"](c); err != nil || cache.asked != 2 {
		t.Errorf("the cache was asked %d times, %v", cache.asked, err)
	}
}
