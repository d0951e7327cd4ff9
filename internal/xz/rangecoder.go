package xz

import "math/bits"

// prob is the probability that a bit is 0, in 2048ths.
type prob = uint16

const (
	probBits  = 11
	probOne   = 1 << probBits
	probShift = 5 // how fast a probability follows what comes
)

func resetProbs(p []prob) {
	for i := range p {
		p[i] = probOne / 2
	}
}

// rangeEncoder is the arithmetic coder of LZMA.
type rangeEncoder struct {
	out   []byte
	low   uint64
	width uint32
	cache byte
	held  int // bytes that a carry may change: cache, then 0xff
}

func (r *rangeEncoder) reset() {
	*r = rangeEncoder{out: r.out[:0], width: 1<<32 - 1, held: 1}
}

// size returns how many bytes there will be after finish.
func (r *rangeEncoder) size() int { return len(r.out) + r.held + 4 }

func (r *rangeEncoder) bit(p *prob, bit int) {
	bound := (r.width >> probBits) * uint32(*p)
	if bit == 0 {
		r.width = bound
		*p += (probOne - *p) >> probShift
	} else {
		r.low += uint64(bound)
		r.width -= bound
		*p -= *p >> probShift
	}
	for r.width < 1<<24 {
		r.width <<= 8
		r.shift()
	}
}

// direct encodes the lowest n bits of v, each as likely as not.
func (r *rangeEncoder) direct(v uint32, n int) {
	for n--; n >= 0; n-- {
		r.width >>= 1
		if v>>n&1 == 1 {
			r.low += uint64(r.width)
		}
		for r.width < 1<<24 {
			r.width <<= 8
			r.shift()
		}
	}
}

// tree encodes n bits of v, the highest first.
func (r *rangeEncoder) tree(probs []prob, v uint32, n int) {
	m := uint32(1)
	for n--; n >= 0; n-- {
		b := v >> n & 1
		r.bit(&probs[m], int(b))
		m = m<<1 | b
	}
}

// reverse encodes n bits of v, the lowest first.
func (r *rangeEncoder) reverse(probs []prob, v uint32, n int) {
	m := uint32(1)
	for range n {
		b := v & 1
		v >>= 1
		r.bit(&probs[m], int(b))
		m = m<<1 | b
	}
}

func (r *rangeEncoder) shift() {
	if uint32(r.low) < 0xff000000 || r.low>>32 != 0 {
		carry := byte(r.low >> 32)
		for c := r.cache; r.held > 0; r.held-- {
			r.out = append(r.out, c+carry)
			c = 0xff
		}
		r.cache = byte(r.low >> 24)
	}
	r.held++
	r.low = r.low & 0x00ffffff << 8
}

func (r *rangeEncoder) finish() []byte {
	for range 5 {
		r.shift()
	}
	return r.out
}

// Prices are in 16ths of a bit.
const priceBits = 4

// prices has the price of a bit by its probability, in 16ths of its range.
var prices = func() (t [probOne >> priceBits]uint32) {
	for i := range t {
		w, n := uint32(i<<priceBits+1<<(priceBits-1)), 0
		for range priceBits { // the logarithm, bit by bit
			w *= w
			n <<= 1
			over := max(0, bits.Len32(w)-16)
			w >>= over
			n += over
		}
		t[i] = uint32(probBits<<priceBits - 15 - n)
	}
	return t
}()

func price(p prob, bit uint32) uint32 {
	return prices[(uint32(p)^(-bit&(probOne-1)))>>priceBits]
}

func treePrice(probs []prob, v uint32, n int) uint32 {
	sum, m := uint32(0), v|1<<n
	for m > 1 {
		sum += price(probs[m>>1], m&1)
		m >>= 1
	}
	return sum
}

func reversePrice(probs []prob, v uint32, n int) uint32 {
	sum, m := uint32(0), uint32(1)
	for range n {
		b := v & 1
		v >>= 1
		sum += price(probs[m], b)
		m = m<<1 | b
	}
	return sum
}
