package regzip

import "encoding/binary"

// Limits of a block, in literals and matches, and in matches.
const (
	maxSymbols = 0x7fff
	maxMatches = 0x8000
)

// symbol is a literal, or a match where distance is set.
type symbol struct {
	value    uint8 // the literal, or the length of the match less minMatch
	distance uint16
}

// blocks collects the symbols of a block and writes blocks.
type blocks struct {
	symbols []symbol
	matches int
	literal *tree
	dist    *tree
	repeat  *tree // of the lengths of the codes of the other two

	out   []byte
	word  uint64 // bits that are no whole byte yet
	width int
}

func newBlocks() *blocks {
	b := &blocks{
		literal: newTree(literals, lengthExtra[:], endOfBlock+1, maxBits),
		dist:    newTree(distances, distanceExtra[:], 0, maxBits),
		repeat:  newTree(lengths, repeatExtra[:], 0, 7),
		symbols: make([]symbol, 0, maxSymbols),
	}
	b.reset()
	return b
}

func (b *blocks) reset() {
	b.symbols, b.matches = b.symbols[:0], 0
	b.literal.clear()
	b.dist.clear()
	b.repeat.clear()
	b.literal.count[endOfBlock] = 1
}

// add adds a literal, where distance is 0, or a match, of value less minMatch bytes. It
// reports whether the block must end here, where it has taken size bytes so far.
func (b *blocks) add(distance, value, size int) bool {
	b.symbols = append(b.symbols, symbol{uint8(value), uint16(distance)})
	if distance == 0 {
		b.literal.count[value]++
	} else {
		length, _ := lengthCode(value)
		far, _ := distanceCode(distance - 1)
		b.literal.count[endOfBlock+1+length]++
		b.dist.count[far]++
		b.matches++
	}
	if len(b.symbols)&0xfff == 0 && b.pays(size) {
		return true
	}
	return len(b.symbols) == maxSymbols || b.matches == maxMatches
}

// pays reports whether what the block has so far seems to compress well and has few
// matches, so that another code may be better for what follows.
func (b *blocks) pays(size int) bool {
	guess := len(b.symbols) * 8
	for i, extra := range distanceExtra {
		guess += int(b.dist.count[i]) * (5 + int(extra))
	}
	return b.matches < len(b.symbols)/2 && guess/8 < size/2
}

// end writes the block. Its bytes are raw, unless they are no longer there; size is
// their number.
func (b *blocks) end(raw []byte, size int, last bool) {
	b.literal.build()
	b.dist.build()
	b.scan(b.literal, func(code, _ int) { b.repeat.count[code]++ })
	b.scan(b.dist, func(code, _ int) { b.repeat.count[code]++ })
	b.repeat.build()
	sent := lengths
	for sent > 4 && b.repeat.length[codeOrder[sent-1]] == 0 {
		sent--
	}
	own := b.literal.cost(b.literal) + b.dist.cost(b.dist) + b.repeat.cost(b.repeat) + 3*sent + 5 + 5 + 4
	fixed := b.literal.cost(fixedLiterals) + b.dist.cost(fixedDistances)
	own, fixed = (own+3+7)/8, (fixed+3+7)/8
	final := uint32(0)
	if last {
		final = 1
	}
	switch {
	case size+4 <= min(own, fixed) && raw != nil:
		b.bits(final, 3)
		b.store(raw)
	case fixed <= own:
		b.bits(1<<1|final, 3)
		b.encode(fixedLiterals, fixedDistances)
	default:
		b.bits(2<<1|final, 3)
		b.trees(sent)
		b.encode(b.literal, b.dist)
	}
	b.reset()
	if last {
		b.align()
	}
}

// scan calls do with the codes of the lengths of a code, and what their extra bits
// hold.
func (b *blocks) scan(t *tree, do func(code, extra int)) {
	before := -1
	for i := 0; i <= t.last; {
		n, run := int(t.length[i]), 1
		most, least := 7, 4
		switch {
		case n == 0:
			most, least = 138, 3
		case n == before:
			most, least = 6, 3
		}
		for run < most && i+run <= t.last && int(t.length[i+run]) == n {
			run++
		}
		i += run
		switch {
		case run < least:
			for range run {
				do(n, 0)
			}
		case n != 0:
			if n != before {
				do(n, 0)
				run--
			}
			do(16, run-3)
		case run <= 10:
			do(17, run-3)
		default:
			do(18, run-11)
		}
		before = n
	}
}

// trees sends the codes of the block.
func (b *blocks) trees(sent int) {
	b.bits(uint32(b.literal.last+1-257), 5)
	b.bits(uint32(b.dist.last), 5)
	b.bits(uint32(sent-4), 4)
	for _, code := range codeOrder[:sent] {
		b.bits(uint32(b.repeat.length[code]), 3)
	}
	send := func(code, extra int) {
		b.code(b.repeat, code)
		b.bits(uint32(extra), int(repeatExtra[code]))
	}
	b.scan(b.literal, send)
	b.scan(b.dist, send)
}

// encode sends the symbols.
func (b *blocks) encode(literal, distance *tree) {
	for _, s := range b.symbols {
		if s.distance == 0 {
			b.code(literal, int(s.value))
			continue
		}
		code, extra := lengthCode(int(s.value))
		b.code(literal, endOfBlock+1+code)
		b.bits(extra, int(lengthExtra[code]))
		code, extra = distanceCode(int(s.distance) - 1)
		b.code(distance, code)
		b.bits(extra, int(distanceExtra[code]))
	}
	b.code(literal, endOfBlock)
}

func (b *blocks) store(raw []byte) {
	b.align()
	b.out = binary.LittleEndian.AppendUint16(b.out, uint16(len(raw)))
	b.out = binary.LittleEndian.AppendUint16(b.out, ^uint16(len(raw)))
	b.out = append(b.out, raw...)
}

func (b *blocks) code(t *tree, symbol int) { b.bits(uint32(t.code[symbol]), int(t.length[symbol])) }

func (b *blocks) bits(value uint32, width int) {
	b.word |= uint64(value) << b.width
	for b.width += width; b.width >= 8; b.width -= 8 {
		b.out = append(b.out, byte(b.word))
		b.word >>= 8
	}
}

// align fills the last byte up with zeros.
func (b *blocks) align() { b.bits(0, -b.width&7) }
