package xz

import "math/bits"

// The properties of what is written, as LZMA names them: three bits of the byte before
// are the context of a literal, and the place counts for nothing, as no alignment is
// common to what is compressed.
const (
	literalContext = 3
	placeBits      = 0
	places         = 1 << placeBits
	properties     = (placeBits*5+0)*9 + literalContext
)

const (
	states      = 12
	lenStates   = 4 // lengths 2, 3, 4 and more have slots of their own
	slotBits    = 6
	alignBits   = 4
	firstDirect = 14 // slots from here on have bits that are not modelled
	fullSlots   = 1 << (firstDirect / 2)
	literalSize = 0x300
)

// state says what the last operations were.
type state uint8

func (s state) afterLiteral() bool { return s < 7 }

func (s state) literal() state {
	switch {
	case s < 4:
		return 0
	case s < 10:
		return s - 3
	}
	return s - 6
}

func (s state) match() state { return s.or(7, 10) }
func (s state) rep() state   { return s.or(8, 11) }
func (s state) short() state { return s.or(9, 11) }

func (s state) or(afterLiteral, otherwise state) state {
	if s.afterLiteral() {
		return afterLiteral
	}
	return otherwise
}

// model has all probabilities.
type model struct {
	match, repLong    [states][places]prob
	rep, g0, g1, g2   [states]prob
	literals          [1 << literalContext * literalSize]prob
	slots             [lenStates][1 << slotBits]prob
	special           [firstDirect][1 << 6]prob // by slot; from the fourth on
	align             [1 << alignBits]prob
	lengths, repeated lengthModel
}

type lengthModel struct {
	choice, choice2 prob
	low, mid        [places][8]prob
	high            [256]prob
}

func (m *model) reset() {
	for i := range states {
		resetProbs(m.match[i][:])
		resetProbs(m.repLong[i][:])
	}
	for _, list := range [][]prob{m.rep[:], m.g0[:], m.g1[:], m.g2[:], m.literals[:], m.align[:]} {
		resetProbs(list)
	}
	for i := range m.slots {
		resetProbs(m.slots[i][:])
	}
	for i := range m.special {
		resetProbs(m.special[i][:])
	}
	m.lengths.reset()
	m.repeated.reset()
}

func (l *lengthModel) reset() {
	l.choice, l.choice2 = probOne/2, probOne/2
	for i := range places {
		resetProbs(l.low[i][:])
		resetProbs(l.mid[i][:])
	}
	resetProbs(l.high[:])
}

// literal returns the probabilities of a literal after that byte.
func (m *model) literal(before byte) []prob {
	at := int(before>>(8-literalContext)) * literalSize
	return m.literals[at : at+literalSize]
}

func lenState(length int) int { return min(length-minMatch, lenStates-1) }

// slotOf returns the slot of a distance, which has been made one less.
func slotOf(d uint32) uint32 {
	if d < 4 {
		return d
	}
	n := uint32(bits.Len32(d) - 1)
	return n<<1 | d>>(n-1)&1
}

// slotBase returns the first distance of a slot, and how many bits tell those of it
// apart.
func slotBase(slot uint32) (base uint32, n int) {
	n = int(slot>>1) - 1
	return (2 | slot&1) << n, n
}

func (r *rangeEncoder) length(l *lengthModel, length, place int) {
	v := uint32(length - minMatch)
	switch {
	case v < 8:
		r.bit(&l.choice, 0)
		r.tree(l.low[place][:], v, 3)
	case v < 16:
		r.bit(&l.choice, 1)
		r.bit(&l.choice2, 0)
		r.tree(l.mid[place][:], v-8, 3)
	default:
		r.bit(&l.choice, 1)
		r.bit(&l.choice2, 1)
		r.tree(l.high[:], v-16, 8)
	}
}

func (r *rangeEncoder) distance(m *model, d uint32, length int) {
	slot := slotOf(d)
	r.tree(m.slots[lenState(length)][:], slot, slotBits)
	if slot < 4 {
		return
	}
	base, n := slotBase(slot)
	if slot < firstDirect {
		r.reverse(m.special[slot][:], d-base, n)
		return
	}
	r.direct((d-base)>>alignBits, n-alignBits)
	r.reverse(m.align[:], d&(1<<alignBits-1), alignBits)
}

// matched encodes a literal at a place where the last distance has another byte.
func (r *rangeEncoder) matched(probs []prob, b, other byte) {
	offset, m, o := uint32(0x100), uint32(1), uint32(other)
	for i := 7; i >= 0; i-- {
		o <<= 1
		bit := uint32(b) >> i & 1
		at := offset + o&offset + m
		r.bit(&probs[at], int(bit))
		m = m<<1 | bit
		offset &= ^(o ^ -bit)
	}
}

func matchedPrice(probs []prob, b, other byte) uint32 {
	sum, offset, m, o := uint32(0), uint32(0x100), uint32(1), uint32(other)
	for i := 7; i >= 0; i-- {
		o <<= 1
		bit := uint32(b) >> i & 1
		sum += price(probs[offset+o&offset+m], bit)
		m = m<<1 | bit
		offset &= ^(o ^ -bit)
	}
	return sum
}
