package transfer

import (
	"bytes"
	"context"

	"github.com/trusch/jamesd/pkg/james"
)

const (
	manifestDir = "manifests"
	// maxHeldEntries is how many entries of manifests are kept in memory for the time
	// between fetching and applying, which may be long: some megabytes.
	maxHeldEntries = 8 << 10
)

func manifestName(d james.Digest) string { return manifestDir + "/" + d.String() }

// Manifest returns the manifest of a packet.
func (f *Fetcher) Manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	if m := f.manifests[p.Digest]; m != nil {
		return m, nil
	}
	m, err := f.loadManifest(ctx, p)
	if err != nil {
		return nil, err
	}
	if f.heldEntries += len(m.Entries); f.heldEntries <= maxHeldEntries {
		f.manifests[p.Digest] = m
	}
	return m, nil
}

// loadManifest returns the manifest of a packet from the disk, or else from the server.
func (f *Fetcher) loadManifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	if raw, err := f.o.State.ReadFile(manifestName(p.Digest), james.MaxManifest); err == nil {
		if m, err := james.DecodeManifest(bytes.NewReader(raw), p.Digest); err == nil {
			return m, nil
		}
	}
	f.o.Expect(answerLimit)
	begun := f.o.Now()
	m, err := f.o.Server.Manifest(ctx, p.Digest)
	took := f.o.Now().Sub(begun)
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
	f.rates.glimpse(int64(len(raw)), took)
	if err := f.o.State.Replace(manifestName(p.Digest), raw, 0o600); err != nil {
		return nil, err
	}
	return m, f.pay(ctx, len(raw))
}

// pay holds up who took n bytes from the network at once.
func (f *Fetcher) pay(ctx context.Context, n int) error {
	const piece = 16 << 10
	for ; n > 0; n -= piece {
		f.o.Expect(answerLimit)
		if err := f.o.Throttle(ctx, min(n, piece)); err != nil {
			return james.Errorf(james.KindInterrupted, "manifest", "%w", err)
		}
	}
	return nil
}

// keepManifests removes the manifests that the plan does not need.
func (f *Fetcher) keepManifests(plan *james.Plan) {
	clear(f.manifests)
	f.heldEntries = 0
	keep := make(map[string]bool)
	if plan != nil {
		for _, s := range plan.Steps {
			if s.New != nil {
				keep[s.New.Digest.String()] = true
			}
		}
	}
	names, err := f.o.State.ReadDir(manifestDir)
	if err != nil {
		return
	}
	for _, name := range names {
		if !keep[name] {
			_ = f.o.State.RemoveAll(manifestDir + "/" + name) // what stays is read by nobody
		}
	}
}
