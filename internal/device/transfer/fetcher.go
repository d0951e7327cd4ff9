package transfer

import (
	"cmp"
	"context"
	"io"
	"math/rand/v2"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/internal/backoff"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// Server is where contents come from; *client.Client is one.
type Server interface {
	Manifest(ctx context.Context, packet james.Digest) (*james.Manifest, error)
	// Archive returns the bytes of an archive from offset on. It fails with
	// KindConflict when the server has others than those of a.
	Archive(ctx context.Context, packet james.Digest, a james.Archive, offset int64) (io.ReadCloser, error)
	// ArchiveOf describes the archive of a packet, but for its format.
	ArchiveOf(ctx context.Context, packet james.Digest) (james.Archive, error)
	// Blobs returns the stream that answers req; with the ETag of an earlier answer
	// the bytes of that from offset on, or KindConflict where it is no more.
	Blobs(ctx context.Context, req james.BlobsRequest, etag string, offset int64) (*client.BlobStream, error)
	OfferBlobs(ctx context.Context, req james.BlobsRequest) (james.BlobsOffer, error)
}

// Doubter is a Server that has others answer in its place. Doubt says that something
// was not what it must be; it returns true where the next answer comes from somebody
// else.
type Doubter interface{ Doubt() bool }

// doubt reports whether what was wrong is worth asking for again.
func (f *Fetcher) doubt() bool {
	d, ok := f.o.Server.(Doubter)
	return ok && d.Doubt()
}

// Options says what a Fetcher works with. Server, State and Log are required.
type Options struct {
	Server Server
	// State is the directory for what is fetched. What else lies in it stays.
	State *disk.Disk
	Log   logrus.FieldLogger
	// Limit is how many bytes of contents may stay that the current plan does not
	// need; 0 keeps none.
	Limit int64
	// Stall is how long a connection may be silent before another one is made; 0
	// means 30 seconds.
	Stall time.Duration
	// Progress, where set, is told how many bytes of the contents of an order are
	// there, and of how many. What it is told never gets less within a Fetch.
	Progress func(have, total int64)
	// Throttle, where set, is called after n bytes came from the network, and waits
	// as long as the next must not be asked for, or until ctx is done.
	Throttle func(ctx context.Context, n int) error
	// Metered, where set, reports whether the link is paid for by the byte, so that
	// time is not worth one.
	Metered func() bool
	// Expect, where set, is told after which time at most there will be another sign
	// of progress. Status is told in a few words what is done now.
	Expect func(d time.Duration)
	Status func(format string, args ...any)

	Now  func() time.Time // nil means time.Now
	Rand func() float64   // in [0, 1), safe for concurrent use; nil means math/rand/v2
}

const (
	defaultStall = 30 * time.Second
	// answerLimit is how long the server may take to begin an answer, with the
	// retries of the client.
	answerLimit = 5 * time.Minute
	// diskLimit is how long the disk may take for one read or write.
	diskLimit = 5 * time.Minute

	bodyFirst, bodyLimit = time.Second, time.Minute
)

// Fetcher fetches contents, and keeps them in a cache. It is not safe for
// concurrent use.
type Fetcher struct {
	o     Options
	cache *cache
	rates *rates
	pause backoff.Backoff
	// manifests are those of the current plan that were asked for, as many as may be
	// held in memory.
	manifests   map[james.Digest]*james.Manifest
	heldEntries int
	// archives are those of packets of which nobody has told the archive.
	archives map[james.Digest]james.Archive
	// unreachable says that the last call failed for the want of the server.
	unreachable bool
}

// New returns a fetcher that has what the last one on this directory had. It fails
// when the directory cannot be used.
func New(o Options) (*Fetcher, error) {
	o.Stall = cmp.Or(o.Stall, defaultStall)
	if o.Progress == nil {
		o.Progress = func(int64, int64) {}
	}
	if o.Throttle == nil {
		o.Throttle = func(context.Context, int) error { return nil }
	}
	if o.Metered == nil {
		o.Metered = func() bool { return false }
	}
	if o.Expect == nil {
		o.Expect = func(time.Duration) {}
	}
	if o.Status == nil {
		o.Status = func(string, ...any) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if err := o.State.MkdirAll(manifestDir, 0o700); err != nil {
		return nil, err
	}
	if err := o.State.RemoveAll("downloads"); err != nil { // archives, as an earlier version stored them
		return nil, err
	}
	c, err := openCache(o.State, o.Limit)
	if err != nil {
		return nil, err
	}
	return &Fetcher{o: o, cache: c, rates: loadRates(o.State), manifests: make(map[james.Digest]*james.Manifest), archives: make(map[james.Digest]james.Archive),
		pause: backoff.Backoff{First: bodyFirst, Limit: bodyLimit, Rand: o.Rand}}, nil
}

// Begin says which plan is the current one; nil means that there is none. The
// contents of the one before are kept within the limit from now on, unless the
// plan needs them.
func (f *Fetcher) Begin(plan *james.Plan) {
	f.unreachable = false
	f.cache.release()
	f.keepManifests(plan)
	if plan == nil {
		f.cache.trim(f.o.Limit)
	}
}

// Unreachable reports whether the last call failed because the server could not
// be had then.
func (f *Fetcher) Unreachable() bool { return f.unreachable }

// Dir is where the contents are.
func (f *Fetcher) Dir() *disk.Disk { return f.o.State }

// Content returns the path in Dir of a content that was fetched. It fails with
// KindNotFound where it is not there.
func (f *Fetcher) Content(d james.Digest) (string, error) {
	if !f.cache.give(d) {
		return "", james.Errorf(james.KindNotFound, "content "+d.Short(), "is not in the cache")
	}
	return blobName(d), nil
}

// Forget removes contents, which are installed for good.
func (f *Fetcher) Forget(contents []james.Digest) {
	for _, d := range contents {
		_ = f.cache.drop(d) // what stays is evicted
		delete(f.cache.wanted, d)
	}
}

// Settled says that no transaction is under way. What a crash between a commit and
// its Forget has left is given up: a content whose file has another name is one that
// is installed.
func (f *Fetcher) Settled() { f.cache.dropInstalled() }

// Missing returns how many bytes Fetch would store now, as far as that is seen
// without reading what is there. Where the disk has not so much room, what other
// plans have left goes.
func (f *Fetcher) Missing(o *txn.Order) int64 {
	var n int64
	for w := range o.Wants {
		for _, k := range o.Wants[w].Entries {
			e := &o.Wants[w].Manifest.Entries[k]
			f.cache.wanted[e.Digest] = true
			n += f.cache.missing(e)
		}
	}
	if n > 0 {
		f.cache.makeRoom(n)
	}
	return n
}
