package fleet

import (
	"hash/maphash"

	"github.com/trusch/jamesd/pkg/james"
)

// used is the set of blobs that packets need, in memory that is bounded however
// many there are. It has all that was added, and may seem to have a few more: other
// ones in every set, so that no unused blob is kept for ever.
type used struct {
	seed    maphash.Seed
	bits    []uint64
	packets map[*james.Packet]struct{} // rows whose blobs were added
}

// Sizes of the set: with 16 bits for each blob it is wrong about one in 2,000, and
// with twice as many blobs as fit about one in 40.
const (
	usedBits    = 16
	usedProbes  = 8
	usedMinBits = 1 << 20
	usedMaxBits = 1 << 28 // 32 MiB, for 16 million blobs
)

func newUsed(blobs int) *used {
	bits := usedMinBits
	for bits < usedMaxBits && bits < blobs*usedBits {
		bits *= 2
	}
	return &used{seed: maphash.MakeSeed(), bits: make([]uint64, bits/64), packets: make(map[*james.Packet]struct{})}
}

// probe returns where the bits of d are, as a first place and a distance.
func (u *used) probe(d james.Digest) (at, step uint64) {
	sum := maphash.Comparable(u.seed, d)
	return sum, sum>>32 | 1
}

func (u *used) add(d james.Digest) {
	at, step := u.probe(d)
	for range usedProbes {
		n := at % uint64(len(u.bits)*64)
		u.bits[n/64] |= 1 << (n % 64)
		at += step
	}
}

// addPacket adds all blobs of a packet.
func (u *used) addPacket(p *james.Packet, m *james.Manifest) {
	for i := range m.Entries {
		if m.Entries[i].Type == james.TypeFile {
			u.add(m.Entries[i].Digest)
		}
	}
	u.add(p.Digest)
	u.add(p.Archive.Digest)
	u.packets[p] = struct{}{}
}

func (u *used) has(d james.Digest) bool {
	at, step := u.probe(d)
	for range usedProbes {
		n := at % uint64(len(u.bits)*64)
		if u.bits[n/64]&(1<<(n%64)) == 0 {
			return false
		}
		at += step
	}
	return true
}
