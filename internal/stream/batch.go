package stream

import (
	"encoding/binary"

	"github.com/trusch/jamesd/internal/delta"
)

// batchSize is how large a batch is made, in bytes: large enough that what is alike in
// its patches stands together, small enough that a device on a slow link soon has it.
const batchSize = delta.MaxBatch / 2

// batch gathers consecutive patches.
type batch struct {
	patches []*delta.Patch
	heads   []byte
	size    int // of the patches, when encoded
	encoded []byte
}

func (b *batch) empty() bool { return len(b.patches) == 0 }

// fits reports whether p can be added; it can where b is empty.
func (b *batch) fits(p *delta.Patch) bool {
	return b.empty() || b.size+p.Encoded() <= batchSize && len(b.patches) < delta.MaxPatches
}

func (b *batch) add(code *headCode, h Head, p *delta.Patch) error {
	heads, err := code.append(b.heads, h)
	if err != nil {
		return err
	}
	b.heads, b.patches = heads, append(b.patches, p)
	b.size += p.Encoded()
	return nil
}

// append appends the group without its first byte, and empties b.
func (b *batch) append(dst []byte) []byte {
	b.encoded = delta.AppendBatch(b.encoded[:0], b.patches)
	dst = binary.AppendUvarint(dst, uint64(len(b.encoded)))
	dst = append(append(dst, b.encoded...), b.heads...)
	clear(b.patches)
	b.patches, b.heads, b.size = b.patches[:0], b.heads[:0], 0
	return dst
}
