package gridfs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/gridfs"
	"github.com/trusch/jamesd/pkg/james"
)

// outage has one store that reaches the server through a proxy and one that
// reaches it always.
type outage struct {
	*proxy
	uri      string
	far      blob.Store
	near     blob.Store
	content  []byte
	digest   james.Digest
	nextHour time.Time
}

func newOutage(t *testing.T) outage {
	t.Helper()
	uri := mongodtest.URI(t)
	p, far := newProxy(t, uri)
	content := blobtest.Bytes(1, 2_500_000)
	o := outage{
		proxy: p, uri: uri, far: open(t, far), near: open(t, uri),
		content: content, digest: james.DigestOf(content), nextHour: time.Now().Add(time.Hour),
	}
	t.Cleanup(func() {
		if err := errors.Join(o.far.Close(), o.near.Close()); err != nil {
			t.Error(err)
		}
	})
	return o
}

// nothingStays checks that the blob is not there, and that a sweep leaves nothing.
func (o outage) nothingStays(t *testing.T) {
	t.Helper()
	blobtest.Absent(t, o.near, o.digest)
	if err := o.near.Sweep(t.Context(), o.nextHour); err != nil {
		t.Fatal(err)
	}
	if n := residue(t, database(t, o.uri)); n != 0 {
		t.Errorf("%d documents left behind", n)
	}
}

func TestServerGoesWhileWriting(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	w := blobtest.Unfinished(t, o.far, o.content[:2_000_000])
	o.cut()
	_, err := w.Write(o.content[2_000_000:])
	blobtest.Kind(t, err, james.KindUnavailable)
	_, err = w.Commit(t.Context(), o.digest)
	blobtest.Kind(t, err, james.KindInternal)
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	o.nothingStays(t)
}

func TestServerGoesBeforeCommit(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	w := blobtest.Unfinished(t, o.far, o.content)
	o.cut()
	_, err := w.Commit(t.Context(), o.digest)
	blobtest.Kind(t, err, james.KindUnavailable)
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
	o.nothingStays(t)

	o.connect()
	blobtest.Put(t, o.far, o.content)
	blobtest.Check(t, o.near, o.content)
}

// TestAnswerToCommitIsLost checks that a blob whose commit has taken effect, which
// the writer cannot know, is left alone, also by the Abort that is deferred.
func TestAnswerToCommitIsLost(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name  string
		later bool
		kind  james.Kind
	}{
		{"to the insert", false, james.KindUnavailable},
		{"to the question after it", true, james.KindUnavailable},
		{"to the insert, as nobody waits for it", false, james.KindInterrupted},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t)
			w := blobtest.Unfinished(t, o.far, o.content)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			lose := func() bool {
				if row.kind == james.KindInterrupted {
					cancel()
				} else {
					o.shut()
				}
				return false
			}
			o.onAnswer(insert("files"), func() bool {
				if row.later {
					o.onAnswer(insert("chunks"), lose)
					return true
				}
				return lose()
			})
			_, err := w.Commit(ctx, james.Digest{})
			blobtest.Kind(t, err, row.kind)
			o.cut()
			o.connect()
			if err := w.Abort(); err != nil {
				t.Error(err)
			}
			if err := o.near.Sweep(t.Context(), o.nextHour); err != nil {
				t.Fatal(err)
			}
			blobtest.Check(t, o.near, o.content)
			blobtest.Put(t, o.far, o.content)
			blobtest.Check(t, o.near, o.content)
		})
	}
}

// insert returns how a message of the MongoDB protocol says that it inserts.
func insert(collection string) []byte {
	name := "blobs." + collection
	return fmt.Appendf(nil, "insert\x00%c\x00\x00\x00%s\x00", len(name)+1, name)
}

func TestServerGoesWhileReading(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	blobtest.Put(t, o.near, o.content)
	r, err := o.far.Open(t.Context(), o.digest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got bytes.Buffer
	if _, err := io.CopyN(&got, r, 700_000); err != nil {
		t.Fatal(err)
	}
	o.cut()
	n, err := io.Copy(&got, r)
	blobtest.Kind(t, err, james.KindUnavailable)
	if n > 300_000 {
		t.Errorf("%d more bytes were read without a server", n)
	}

	o.connect() // the reader goes on where it was
	if _, err := io.Copy(&got, r); err != nil || !bytes.Equal(got.Bytes(), o.content) {
		t.Errorf("read %d bytes in all, error %v", got.Len(), err)
	}
}

func TestServerGoesOtherwise(t *testing.T) {
	t.Parallel()
	o := newOutage(t)
	blobtest.Put(t, o.near, o.content)
	o.cut()
	calls := map[string]func(t *testing.T) error{
		"ping":   func(t *testing.T) error { return o.far.Ping(t.Context()) },
		"open":   func(t *testing.T) error { _, err := o.far.Open(t.Context(), o.digest); return err },
		"stat":   func(t *testing.T) error { _, err := o.far.Stat(t.Context(), o.digest); return err },
		"delete": func(t *testing.T) error { return o.far.Delete(t.Context(), o.digest) },
		"sweep":  func(t *testing.T) error { return o.far.Sweep(t.Context(), o.nextHour) },
		"list": func(t *testing.T) error {
			for _, err := range o.far.List(t.Context()) {
				return err
			}
			return nil
		},
	}
	t.Run("calls", func(t *testing.T) {
		for name, call := range calls {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				err := call(t)
				blobtest.Kind(t, err, james.KindUnavailable)
				if !strings.Contains(err.Error(), o.addr) || !strings.Contains(james.HintOf(err), "reach") {
					t.Errorf("error %q with hint %q", err, james.HintOf(err))
				}
			})
		}
	})
	blobtest.Check(t, o.near, o.content)
}

func TestUseAfterClose(t *testing.T) {
	t.Parallel()
	s := open(t, mongodtest.URI(t))
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	blobtest.Kind(t, s.Ping(t.Context()), james.KindUnavailable)
}

const secret = "pa55%zzw%40rd"

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := l.Addr().String()
	l.Close()
	for _, row := range []struct {
		name, uri string
		kind      james.Kind
		says      string
	}{
		{"empty", "", james.KindInvalid, "MongoDB URI"},
		{"other scheme", "http://host/db", james.KindInvalid, `scheme must be "mongodb"`},
		{"option of a wrong type", "mongodb://host/db?maxPoolSize=many", james.KindInvalid, "many"},
		{"password not encoded", "mongodb://james:" + secret + "@host/db", james.KindInvalid, "MongoDB URI"},
		{"password with an at sign", "mongodb://james:x@" + secret + "@host/db", james.KindInvalid, "MongoDB URI"},
		{"writes unacknowledged", "mongodb://host/db?w=0", james.KindInvalid, "w=0"},
		{"nobody listens", "mongodb://" + dead + "/db?serverSelectionTimeoutMS=300", james.KindUnavailable, "mongodb://" + dead + "/db: "},
		{"nobody listens, default database", "mongodb://" + dead + "/?serverSelectionTimeoutMS=300", james.KindUnavailable, "mongodb://" + dead + "/jamesd: "},
		{"nobody listens, with password", "mongodb://james:pa55w%40rd@" + dead + "/db?serverSelectionTimeoutMS=300", james.KindUnavailable, "mongodb://" + dead + "/db: "},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			_, err := gridfs.Open(t.Context(), row.uri)
			blobtest.Kind(t, err, row.kind)
			text := err.Error() + james.HintOf(err)
			if !strings.Contains(err.Error(), row.says) || james.HintOf(err) == "" {
				t.Errorf("error %q does not say %q, or has no hint", err, row.says)
			}
			if strings.Contains(text, "pa55") || strings.Contains(text, "rd@") {
				t.Errorf("the password is in %q", text)
			}
		})
	}
}

func TestFailed(t *testing.T) {
	t.Parallel()
	over, cancel := context.WithCancel(t.Context())
	cancel()
	for _, row := range []struct {
		name string
		ctx  context.Context
		err  error
		kind james.Kind
		hint string
	}{
		{"nothing", t.Context(), nil, "", ""},
		{"nothing, cancelled", over, nil, "", ""},
		{"cancelled by the caller", over, context.Canceled, james.KindInterrupted, ""},
		{"no answer in time", t.Context(), context.DeadlineExceeded, james.KindUnavailable, "reach"},
		{"not allowed", t.Context(), mongo.CommandError{Code: 13, Message: "no"}, james.KindUnavailable, "readWrite"},
		{"wrong password", t.Context(), mongo.CommandError{Code: 18, Message: "no"}, james.KindUnavailable, "user"},
		{"disk full", t.Context(), mongo.WriteException{WriteErrors: []mongo.WriteError{{Code: 14031}}}, james.KindUnavailable, "full"},
		{"anything else", t.Context(), mongo.CommandError{Code: 1, Message: "no"}, james.KindUnavailable, ""},
	} {
		err := gridfs.Failed(row.ctx, row.err)
		if got := james.KindOf(err); got != row.kind {
			t.Errorf("%s: kind %q of %v, want %q", row.name, got, err, row.kind)
		}
		if hint := james.HintOf(err); !strings.Contains(hint, row.hint) {
			t.Errorf("%s: hint %q does not say %q", row.name, hint, row.hint)
		}
	}
}
