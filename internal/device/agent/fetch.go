package agent

import (
	"bytes"
	"context"
	"io"
	"time"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/james"
)

// fetcher is where a plan's packets come from, a txn.Source over whole archives. It keeps what it has fetched in
// the state directory until forget, so that a try goes on where the one before
// it stopped.
type fetcher struct {
	server   Server
	state    *state
	log      logrus.FieldLogger
	throttle func(ctx context.Context, n int) error
	expect   func(time.Duration)
	status   func(format string, args ...any)
	pause    backoff
	stall    time.Duration
	// sound are the archives and contents that this process has verified and that
	// nobody else may have changed since, contents the paths of those that were asked for.
	sound    map[james.Digest]bool
	contents map[james.Digest]string
	// unreachable says that the last packet could not be had from the server now.
	unreachable bool
	// progress, where set, is told how much of an archive has arrived.
	progress func(p *james.Packet, have int64)
	// limit is how long the installer may be silent between what it asks for.
	limit time.Duration
}

// begin makes the fetcher ready for a plan: what was fetched for others goes.
func (f *fetcher) begin(plan *james.Plan, limit time.Duration) {
	f.forget(plan)
	f.unreachable, f.limit = false, limit
	f.expect(limit)
}

// Manifest returns the manifest of a packet.
func (f *fetcher) Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	if raw, err := f.state.read(manifestName(p.Digest), james.MaxManifest); err == nil {
		if m, err := james.DecodeManifest(bytes.NewReader(raw), p.Digest); err == nil {
			return m, nil
		}
	}
	defer f.expect(f.limit)
	f.expect(fetchLimit)
	m, err := f.server.Manifest(ctx, p.Digest)
	if f.unreachable = james.KindOf(err).Retryable(); err != nil {
		return nil, err
	}
	raw, digest, err := m.Encode()
	if err != nil {
		return nil, err
	}
	if digest != p.Digest {
		return nil, james.Errorf(james.KindCorrupt, "manifest of "+p.Name, "has digest %s instead of %s", digest.Short(), p.Digest.Short())
	}
	return m, f.state.write(manifestName(p.Digest), raw)
}

// missing returns how much of the archive is not there, as far as that is seen
// without reading it.
func (f *fetcher) missing(p *james.Packet) int64 {
	if f.state.size(archiveName(p.Archive.Digest)) == p.Archive.Size {
		return 0
	}
	return max(0, p.Archive.Size-max(0, f.state.size(partName(p.Archive.Digest))))
}

// archive returns the archive of a packet, all of it and verified.
func (f *fetcher) archive(ctx context.Context, p *james.Packet, use func(int64)) (io.ReadCloser, error) {
	defer f.expect(f.limit)
	if !f.has(p.Archive) {
		if err := f.fetch(ctx, p, use); err != nil {
			return nil, err
		}
		f.sound[p.Archive.Digest] = true
	}
	file, err := f.state.disk.OpenFile(archiveName(p.Archive.Digest))
	if err != nil {
		return nil, err
	}
	return file, nil
}

// has reports whether the whole archive is there, from this process or one
// before it. What is not as it should be is dropped.
func (f *fetcher) has(a james.Archive) bool {
	if f.sound[a.Digest] && f.state.size(archiveName(a.Digest)) == a.Size {
		return true
	}
	sum, n, err := f.state.sum(archiveName(a.Digest), a.Size)
	if err != nil {
		return false
	}
	if n != a.Size || james.Digest(sum.Sum(nil)) != a.Digest {
		f.state.remove(archiveName(a.Digest))
		return false
	}
	f.sound[a.Digest] = true
	return true
}

// fetch downloads an archive. Bytes that turn out to be wrong are dropped and
// fetched a second time, as they can come from a power cut in the middle of
// writing them; the second time they are the server's.
func (f *fetcher) fetch(ctx context.Context, p *james.Packet, use func(int64)) error {
	err := f.download(ctx, p, use)
	if kind := james.KindOf(err); kind != james.KindCorrupt && kind != james.KindConflict {
		return err
	}
	f.log.WithFields(logrus.Fields{"packet": p.App().String(), "kind": james.KindOf(err)}).WithError(err).Warn("fetching the archive anew")
	f.state.remove(partName(p.Archive.Digest))
	return f.download(ctx, p, use)
}

// forget removes what was fetched for anything but plan, which may be nil.
func (f *fetcher) forget(plan *james.Plan) {
	keep := make(map[string]bool)
	if plan != nil {
		for _, s := range plan.Steps {
			if s.New != nil {
				keep[manifestName(s.New.Digest)] = true
				keep[archiveName(s.New.Archive.Digest)] = true
				keep[partName(s.New.Archive.Digest)] = true
				keep[contentsOf(s.New)] = true
			}
		}
	}
	for _, dir := range []string{manifestDir, archiveDir, contentDir} {
		for _, name := range f.state.list(dir) {
			if !keep[name] {
				f.state.remove(name)
			}
		}
	}
}

const manifestDir, archiveDir = "manifests", "downloads"

func manifestName(d james.Digest) string { return manifestDir + "/" + d.String() }
func archiveName(d james.Digest) string  { return archiveDir + "/" + d.String() }
func partName(d james.Digest) string     { return archiveName(d) + ".part" }
