package delta

import (
	"cmp"
	"encoding/binary"
	"slices"
)

// machine says for which processor a base is a program, of which the addresses are
// changed with what they are of.
type machine uint8

// The machines. The bytes of what is none are copied as they are.
const (
	noMachine machine = iota
	x86
	machines
)

// machineOf returns the machine of a program or a library for Linux (ELF). What is not
// linked yet, such as a module of the kernel, has no addresses.
func machineOf(old []byte) machine {
	const executable, library, i386, amd64 = 2, 3, 3, 62
	if len(old) < 20 || string(old[:4]) != "\x7fELF" {
		return noMachine
	}
	kind, processor := binary.LittleEndian.Uint16(old[16:]), binary.LittleEndian.Uint16(old[18:])
	if (kind == executable || kind == library) && (processor == i386 || processor == amd64) {
		return x86
	}
	return noMachine
}

// blockSize is how much of a base is looked through for addresses at a time. None
// crosses the end of a block, so that what is found does not depend on where one
// begins to read.
const blockSize = 4 << 10

// relocator changes the addresses in what is copied out of a base. An address that a
// branch or an access to memory holds as a distance, or a table as it is, is taken for
// the place of something in the base, and becomes the one to which that has moved.
// Where a guess is wrong, the differences of the patch make up for it.
type relocator struct {
	machine machine
	size    int64 // of the base
	moves   []move
	shifts  []shift // of which moves has what the pieces do not say
	at      int64   // of the block whose fields are known
	fields  []field
}

// field is where an address is in a block, in four bytes.
type field struct {
	at     int64 // in the base
	value  int64 // that it holds
	target int64 // in the base
	near   bool  // it holds the distance from itself
}

// newRelocator returns one that knows no moves yet.
func newRelocator(m machine, old []byte) *relocator {
	return &relocator{machine: m, size: int64(len(old))}
}

// all returns all of a base with its addresses changed.
func (r *relocator) all(old []byte) []byte {
	out := slices.Clone(old)
	for at := 0; at < len(old); at += blockSize {
		block := old[at:min(at+blockSize, len(old))]
		for _, f := range r.within(int64(at), int64(at+len(block)), block, int64(at)) {
			r.put(out[f.at:], f, r.by(f.at))
		}
	}
	return out
}

// put puts an address where something that holds it, and moves by so many bytes, has it.
func (r *relocator) put(b []byte, f field, by int64) {
	value := f.value + r.by(f.target)
	if f.near {
		value -= by
	}
	binary.LittleEndian.PutUint32(b, uint32(value))
}

// by returns how far what is at a place of the base has moved.
func (r *relocator) by(place int64) int64 {
	i, found := slices.BinarySearchFunc(r.moves, place, func(m move, place int64) int { return cmp.Compare(m.from, place) })
	if !found {
		i--
	}
	if i < 0 {
		return 0
	}
	return r.moves[i].by
}

// within returns the addresses of a block that reach into a part of it.
func (r *relocator) within(from, to int64, block []byte, blockAt int64) []field {
	if r.at != blockAt || r.fields == nil {
		r.at = blockAt
		r.find(block)
	}
	at := func(f field, at int64) int { return cmp.Compare(f.at, at) }
	i, _ := slices.BinarySearchFunc(r.fields, from-3, at)
	j, _ := slices.BinarySearchFunc(r.fields, to, at)
	return r.fields[i:j]
}

// change changes the addresses in b, which has been copied from a place of a block and
// moved by so many bytes.
func (r *relocator) change(b []byte, at, by int64, block []byte, blockAt int64) {
	for _, f := range r.within(at, at+int64(len(b)), block, blockAt) {
		var raw [4]byte
		r.put(raw[:], f, by)
		if f.at >= at {
			copy(b[f.at-at:], raw[:])
		} else {
			copy(b, raw[at-f.at:])
		}
	}
}

// find finds the addresses of a block.
func (r *relocator) find(block []byte) {
	if r.fields == nil {
		r.fields = make([]field, 0, blockSize/4)
	}
	r.fields = r.fields[:0]
	for i := 0; i+4 <= len(block); {
		if i&7 != 0 && (i == 0 || before[block[i-1]] == nothing) && (i&3 != 0 || !isFrame(block, i)) {
			i++
			continue
		}
		f, ok := r.field(block, i)
		if !ok {
			i++
			continue
		}
		r.fields = append(r.fields, f)
		i += 4
	}
}

// smallest is the smallest address that is changed. There are many smaller numbers
// which are none.
const smallest = 4 << 10

// field returns the address at a place of a block, if there is one.
func (r *relocator) field(block []byte, i int) (field, bool) {
	at := r.at + int64(i)
	value := int64(int32(binary.LittleEndian.Uint32(block[i:])))
	if at%8 == 0 && i+8 <= len(block) && binary.LittleEndian.Uint32(block[i+4:]) == 0 {
		return field{at: at, value: value, target: value}, value >= smallest && value < r.size
	}
	if at%4 == 0 && isFrame(block, i) {
		target := at + value
		return field{at: at, value: value, target: target, near: true}, target >= 0 && target < r.size
	}
	target := at + 4 + value
	return field{at: at, value: value, target: target, near: true}, isNear(block, i) && target >= 0 && target < r.size
}

// isFrame reports whether a place of a block looks like the one in a table of frames
// (.eh_frame) where the distance of a function is: after the size of the entry and the
// distance of what entries have in common.
func isFrame(block []byte, i int) bool {
	if i < 8 {
		return false
	}
	size, common := binary.LittleEndian.Uint32(block[i-8:]), binary.LittleEndian.Uint32(block[i-4:])
	return size < 1<<10 && size >= 16 && size%4 == 0 && common < 1<<22 && common >= 16 && common%4 == 0
}

// isNear reports whether what is before a place of a block looks like the instruction of
// a branch or of an access to memory at a distance, which follows.
func isNear(block []byte, i int) bool {
	if i < 1 {
		return false
	}
	kind := before[block[i-1]]
	return kind == whole || kind == half && i > 1 && block[i-2] == 0x0f
}

// What a byte before an address is.
const (
	nothing = iota
	whole   // an instruction, or the end of one
	half    // the second byte of an instruction
)

var before = func() (t [256]uint8) {
	for b := range t {
		switch {
		case b == 0xe8 || b == 0xe9: // call, jmp
			t[b] = whole
		case b&0xf0 == 0x80: // jcc
			t[b] = half
		}
		if b&0xc7 == 0x05 { // relative to the instruction pointer
			t[b] = whole
		}
	}
	return t
}()
