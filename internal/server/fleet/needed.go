package fleet

import (
	"bytes"
	"context"
	"encoding/binary"
	"slices"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/pkg/james"
)

// Part says what a blob is to a packet.
type Part string

// The parts of a packet that are blobs.
const (
	PartManifest Part = "manifest"
	PartArchive  Part = "archive"
	PartContent  Part = "content"
)

// Blob is one that packets need.
type Blob struct {
	Digest james.Digest
	Part   Part
	Size   int64 // bytes; of a manifest that is not known, 0
}

// maxNeeded is how many digests are held at a time, 50 bytes each; where packets
// have more, their manifests are read several times.
const maxNeeded = 1 << 20

// manifestOf returns the manifest of a packet, or nil for one whose manifest and
// contents are to be left out.
type manifestOf func(ctx context.Context, p *james.Packet) (*james.Manifest, error)

// eachNeeded calls do for every blob that the packets need, each once, ordered by
// digest: their archives, their manifests, and the contents of those that have them.
func eachNeeded(ctx context.Context, packets []*james.Packet, manifest manifestOf, do func(Blob) error) error {
	total := 0
	for _, p := range packets {
		total += p.Entries + 2
	}
	parts := uint64(total/maxNeeded + 1)
	for part := range parts {
		needed, err := neededOf(ctx, packets, manifest, func(d james.Digest) bool {
			return uint64(binary.BigEndian.Uint32(d[:4]))*parts>>32 == part
		})
		if err != nil {
			return err
		}
		for _, b := range needed {
			if err := do(b); err != nil {
				return err
			}
		}
	}
	return nil
}

// neededOf returns those blobs that are wanted, sorted, each once.
func neededOf(ctx context.Context, packets []*james.Packet, manifest manifestOf, wanted func(james.Digest) bool) ([]Blob, error) {
	var out []Blob
	add := func(b Blob) {
		if wanted(b.Digest) {
			out = append(out, b)
		}
	}
	for _, p := range packets {
		add(Blob{p.Archive.Digest, PartArchive, p.Archive.Size})
		m, err := manifest(ctx, p)
		if err != nil {
			return nil, err
		}
		if m == nil {
			continue
		}
		add(Blob{p.Digest, PartManifest, 0})
		for i := range m.Entries {
			if e := &m.Entries[i]; p.Contents && e.Type == james.TypeFile {
				add(Blob{e.Digest, PartContent, e.Size})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Blob) int { return bytes.Compare(a.Digest[:], b.Digest[:]) })
	return slices.CompactFunc(out, func(a, b Blob) bool { return a.Digest == b.Digest }), nil
}

// EachNeeded calls do for every blob that the packets, whose manifests are among
// blobs, need, each once, ordered by digest; damaged is told of a manifest that
// cannot be read, and it and what only it refers to are left out.
func EachNeeded(ctx context.Context, blobs blob.Store, packets []*james.Packet, damaged func(*james.Packet, error), do func(Blob) error) error {
	told := make(map[*james.Packet]bool)
	return eachNeeded(ctx, packets, func(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
		m, err := readManifest(ctx, blobs, p)
		switch kind := james.KindOf(err); {
		case kind != james.KindCorrupt && kind != james.KindNotFound:
			return m, err
		case !told[p]:
			told[p] = true
			damaged(p, err)
		}
		return nil, nil
	}, do)
}

func readManifest(ctx context.Context, blobs blob.Store, p *james.Packet) (*james.Manifest, error) {
	r, err := blobs.Open(ctx, p.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return james.DecodeManifest(r, p.Digest)
}

// HoldBlobs keeps all blobs from being collected until release is called. When it has
// returned, no collection is under way in this process. Others go on.
func (f *Fleet) HoldBlobs() (release func()) {
	f.uploads.Lock()
	defer f.uploads.Unlock()
	f.holds++
	return func() {
		f.uploads.Lock()
		defer f.uploads.Unlock()
		f.holds--
	}
}
