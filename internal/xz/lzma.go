package xz

// decoder decodes the chunks of LZMA2. What it has decoded is in a ring, which is the
// dictionary that later content refers to.
type decoder struct {
	ring   []byte
	pos    int // where the next byte goes
	filled int // bytes since the reset of the dictionary, at most the window
	window int // how far back content may refer

	in        []byte // a chunk's compressed bytes, followed by inputSlack others
	at, end   int    // in in
	rng, code uint32 // of the range decoder

	count      uint32 // bytes since the reset of the dictionary, modulo 2^32
	state      uint32
	rep        [4]uint32 // the last distances, less one
	lc, lpMask uint32
	pbMask     uint32
	left       int // bytes of the last match to come

	literal []uint16 // 0x300 for each context
	probs   probs
}

// probs are the probabilities beside those of literals. Some arrays are larger
// than need be, so that an index needs no check.
type probs struct {
	match, rep0Long       [256]uint16 // by state<<4 | position
	rep, rep0, rep1, rep2 [16]uint16  // by state
	slot                  [4][64]uint16
	special               [128]uint16
	align                 [16]uint16
	length, repLength     lengths
}

type lengths struct {
	choice, choice2 uint16
	low, mid        [16][8]uint16
	high            [256]uint16
}

const (
	top        = 1 << 24
	zeroOffset = 1<<32 + 31 - 2048
	// inputSlack is more than what one symbol takes of the input.
	inputSlack = 32
	maxLcLp    = 4
)

// resetDictionary forgets all that was decoded.
func (d *decoder) resetDictionary() { d.filled, d.count = 0, 0 }

// setProperties takes the properties of the chunks that follow, as they are in
// one byte. It returns false for malformed ones.
func (d *decoder) setProperties(b byte) bool {
	if b >= 9*5*5 {
		return false
	}
	lc, lp, pb := uint32(b%9), uint32(b/9%5), uint32(b/45)
	if lc+lp > maxLcLp {
		return false
	}
	d.lc, d.lpMask, d.pbMask = lc, 1<<lp-1, 1<<pb-1
	if n := 0x300 << (lc + lp); cap(d.literal) < n {
		d.literal = make([]uint16, n)
	} else {
		d.literal = d.literal[:n]
	}
	return true
}

// resetState makes all probabilities even.
func (d *decoder) resetState() {
	d.state, d.rep = 0, [4]uint32{}
	even(d.literal)
	p := &d.probs
	even(p.match[:])
	even(p.rep0Long[:])
	for _, a := range []*[16]uint16{&p.rep, &p.rep0, &p.rep1, &p.rep2, &p.align} {
		even(a[:])
	}
	for i := range p.slot {
		even(p.slot[i][:])
	}
	even(p.special[:])
	p.length.reset()
	p.repLength.reset()
}

func (l *lengths) reset() {
	l.choice, l.choice2 = 1024, 1024
	for i := range l.low {
		even(l.low[i][:])
		even(l.mid[i][:])
	}
	even(l.high[:])
}

func even(p []uint16) {
	for i := range p {
		p[i] = 1024
	}
}

// begin starts with the compressed bytes of a chunk, which in has room for
// inputSlack more than.
func (d *decoder) begin(in []byte) bool {
	if len(in) < 5 || in[0] != 0 {
		return false
	}
	d.code = uint32(in[1])<<24 | uint32(in[2])<<16 | uint32(in[3])<<8 | uint32(in[4])
	d.rng = 1<<32 - 1
	d.in, d.at, d.end, d.left = in[:len(in)+inputSlack], 5, len(in), 0
	return true
}

// finish reports whether the chunk ends where its content does.
func (d *decoder) finish() bool {
	if d.rng < top {
		d.rng <<= 8
		d.code = d.code<<8 | uint32(d.in[d.at])
		d.at++
	}
	return d.left == 0 && d.at == d.end && d.code == 0
}

// advance makes n bytes that were put into the ring a part of the dictionary.
func (d *decoder) advance(n int) {
	d.pos += n
	d.count += uint32(n)
	d.filled = min(d.filled+n, d.window)
	if d.pos == len(d.ring) {
		d.pos = 0
	}
}

// put puts content that is not compressed into the ring, where it has room up to
// its end.
func (d *decoder) put(b []byte) {
	copy(d.ring[d.pos:], b)
	d.advance(len(b))
}

// repeat copies what is left of a match to the ring, up to limit, and returns the
// new position.
func (d *decoder) repeat(pos, limit int) int {
	n := min(d.left, limit-pos)
	d.left -= n
	from := pos - int(d.rep[0]) - 1
	if from < 0 {
		from += len(d.ring)
	}
	if from < pos && pos-from >= n || from > pos && from+n <= len(d.ring) {
		copy(d.ring[pos:pos+n], d.ring[from:from+n])
		return pos + n
	}
	for ; n > 0; n-- {
		d.ring[pos] = d.ring[from]
		pos++
		if from++; from == len(d.ring) {
			from = 0
		}
	}
	return pos
}

// decode puts n bytes into the ring, where it has room up to its end, or as many as
// there are before the input is malformed. It returns their number. The decisions are written out, as a function
// for one of them would keep its variables in memory: where a bit is as likely as
// not to be guessed by the processor, without a branch.
func (d *decoder) decode(n int) int {
	var (
		ring      = d.ring
		in        = d.in
		p         = &d.probs
		begin     = d.pos
		pos       = begin
		limit     = pos + n
		at        = d.at
		rng, code = d.rng, d.code
		state     = d.state
		filled    = d.filled
		bound     uint32
		mask      uint32
		diff      uint64
		m, length uint32
	)
	if d.left > 0 {
		pos = d.repeat(pos, limit)
	}
decoding:
	for pos < limit {
		if at > d.end {
			break decoding
		}
		count := d.count + uint32(pos-begin)
		ps := count & d.pbMask & 15
		if rng < top {
			rng <<= 8
			code = code<<8 | uint32(in[at])
			at++
		}
		prob := &p.match[uint8(state<<4|ps)]
		bound = rng >> 11 * uint32(*prob)
		if code < bound {
			rng = bound
			*prob += (2048 - *prob) >> 5
			previous := uint32(0)
			if filled+pos-begin > 0 {
				previous = uint32(ring[before(pos, 1, len(ring))])
			}
			context := (count&d.lpMask)<<d.lc + previous>>(8-d.lc)
			literal := (*[0x300]uint16)(d.literal[0x300*context:])
			m = 1
			if state < 7 {
				for m < 0x100 {
					if rng < top {
						rng <<= 8
						code = code<<8 | uint32(in[at])
						at++
					}
					bound = rng >> 11 * uint32(literal[m])
					diff = uint64(code) - uint64(bound)
					mask = uint32(diff >> 32)
					rng = rng - bound + mask&(bound+bound-rng)
					code = uint32(diff) + bound&mask
					literal[m] -= uint16((int32(literal[m]) + int32(mask&zeroOffset)) >> 5)
					m = m<<1 + 1 + mask
				}
			} else {
				matched := uint32(ring[before(pos, int(d.rep[0])+1, len(ring))])
				offset := uint32(0x100)
				for m < 0x100 {
					matched <<= 1
					way := matched & offset
					if rng < top {
						rng <<= 8
						code = code<<8 | uint32(in[at])
						at++
					}
					bound = rng >> 11 * uint32(literal[offset+way+m])
					diff = uint64(code) - uint64(bound)
					mask = uint32(diff >> 32)
					rng = rng - bound + mask&(bound+bound-rng)
					code = uint32(diff) + bound&mask
					literal[offset+way+m] -= uint16((int32(literal[offset+way+m]) + int32(mask&zeroOffset)) >> 5)
					m = m<<1 + 1 + mask
					offset &= way ^ mask
				}
			}
			ring[pos] = byte(m)
			pos++
			switch {
			case state < 4:
				state = 0
			case state < 10:
				state -= 3
			default:
				state -= 6
			}
			continue
		}
		rng -= bound
		code -= bound
		*prob -= *prob >> 5

		lens := &p.length
		isRep := false
		if rng < top {
			rng <<= 8
			code = code<<8 | uint32(in[at])
			at++
		}
		bound = rng >> 11 * uint32(p.rep[state&15])
		if code < bound {
			rng = bound
			p.rep[state&15] += (2048 - p.rep[state&15]) >> 5
		} else {
			rng -= bound
			code -= bound
			p.rep[state&15] -= p.rep[state&15] >> 5
			isRep = true
		}
		if isRep {
			if filled+pos-begin == 0 {
				break decoding
			}
			lens = &p.repLength
			choice := 0
			if rng < top {
				rng <<= 8
				code = code<<8 | uint32(in[at])
				at++
			}
			bound = rng >> 11 * uint32(p.rep0[state&15])
			if code < bound {
				rng = bound
				p.rep0[state&15] += (2048 - p.rep0[state&15]) >> 5
			} else {
				rng -= bound
				code -= bound
				p.rep0[state&15] -= p.rep0[state&15] >> 5
				choice = 1
			}
			if choice == 0 {
				long := false
				if rng < top {
					rng <<= 8
					code = code<<8 | uint32(in[at])
					at++
				}
				bound = rng >> 11 * uint32(p.rep0Long[uint8(state<<4|ps)])
				if code < bound {
					rng = bound
					p.rep0Long[uint8(state<<4|ps)] += (2048 - p.rep0Long[uint8(state<<4|ps)]) >> 5
				} else {
					rng -= bound
					code -= bound
					p.rep0Long[uint8(state<<4|ps)] -= p.rep0Long[uint8(state<<4|ps)] >> 5
					long = true
				}
				if !long {
					if int(d.rep[0]) >= min(filled+pos-begin, d.window) {
						break decoding
					}
					ring[pos] = ring[before(pos, int(d.rep[0])+1, len(ring))]
					pos++
					state = after(state, 9, 11)
					continue
				}
			} else {
				if rng < top {
					rng <<= 8
					code = code<<8 | uint32(in[at])
					at++
				}
				bound = rng >> 11 * uint32(p.rep1[state&15])
				if code < bound {
					rng = bound
					p.rep1[state&15] += (2048 - p.rep1[state&15]) >> 5
				} else {
					rng -= bound
					code -= bound
					p.rep1[state&15] -= p.rep1[state&15] >> 5
					choice = 2
				}
				if choice == 2 {
					if rng < top {
						rng <<= 8
						code = code<<8 | uint32(in[at])
						at++
					}
					bound = rng >> 11 * uint32(p.rep2[state&15])
					if code < bound {
						rng = bound
						p.rep2[state&15] += (2048 - p.rep2[state&15]) >> 5
					} else {
						rng -= bound
						code -= bound
						p.rep2[state&15] -= p.rep2[state&15] >> 5
						choice = 3
					}
				}
				distance := d.rep[choice]
				copy(d.rep[1:choice+1], d.rep[:choice])
				d.rep[0] = distance
			}
			state = after(state, 8, 11)
		} else {
			d.rep[3], d.rep[2], d.rep[1] = d.rep[2], d.rep[1], d.rep[0]
			state = after(state, 7, 10)
		}

		m = 1
		if rng < top {
			rng <<= 8
			code = code<<8 | uint32(in[at])
			at++
		}
		bound = rng >> 11 * uint32(lens.choice)
		if code < bound {
			rng = bound
			lens.choice += (2048 - lens.choice) >> 5
			length = 0
		} else {
			rng -= bound
			code -= bound
			lens.choice -= lens.choice >> 5
			length = 1
		}
		if length == 1 {
			if rng < top {
				rng <<= 8
				code = code<<8 | uint32(in[at])
				at++
			}
			bound = rng >> 11 * uint32(lens.choice2)
			if code < bound {
				rng = bound
				lens.choice2 += (2048 - lens.choice2) >> 5
				length = 1
			} else {
				rng -= bound
				code -= bound
				lens.choice2 -= lens.choice2 >> 5
				length = 2
			}
		}
		if length < 2 {
			tree := &lens.low[ps]
			if length == 1 {
				tree = &lens.mid[ps]
			}
			for m < 8 {
				if rng < top {
					rng <<= 8
					code = code<<8 | uint32(in[at])
					at++
				}
				bound = rng >> 11 * uint32(tree[m])
				diff = uint64(code) - uint64(bound)
				mask = uint32(diff >> 32)
				rng = rng - bound + mask&(bound+bound-rng)
				code = uint32(diff) + bound&mask
				tree[m] -= uint16((int32(tree[m]) + int32(mask&zeroOffset)) >> 5)
				m = m<<1 + 1 + mask
			}
			length = 2 + 8*length + m - 8
		} else {
			for m < 256 {
				if rng < top {
					rng <<= 8
					code = code<<8 | uint32(in[at])
					at++
				}
				bound = rng >> 11 * uint32(lens.high[m])
				diff = uint64(code) - uint64(bound)
				mask = uint32(diff >> 32)
				rng = rng - bound + mask&(bound+bound-rng)
				code = uint32(diff) + bound&mask
				lens.high[m] -= uint16((int32(lens.high[m]) + int32(mask&zeroOffset)) >> 5)
				m = m<<1 + 1 + mask
			}
			length = 2 + 16 + m - 256
		}

		if !isRep {
			tree := &p.slot[min(length-2, 3)]
			m = 1
			for m < 64 {
				if rng < top {
					rng <<= 8
					code = code<<8 | uint32(in[at])
					at++
				}
				bound = rng >> 11 * uint32(tree[m])
				diff = uint64(code) - uint64(bound)
				mask = uint32(diff >> 32)
				rng = rng - bound + mask&(bound+bound-rng)
				code = uint32(diff) + bound&mask
				tree[m] -= uint16((int32(tree[m]) + int32(mask&zeroOffset)) >> 5)
				m = m<<1 + 1 + mask
			}
			slot := m - 64
			distance := slot
			if slot >= 4 {
				bits := slot>>1 - 1
				distance = (2 | slot&1) << bits
				if slot < 14 {
					base := distance - slot
					m = 1
					for i := range bits {
						if rng < top {
							rng <<= 8
							code = code<<8 | uint32(in[at])
							at++
						}
						bound = rng >> 11 * uint32(p.special[(base+m)&127])
						diff = uint64(code) - uint64(bound)
						mask = uint32(diff >> 32)
						rng = rng - bound + mask&(bound+bound-rng)
						code = uint32(diff) + bound&mask
						p.special[(base+m)&127] -= uint16((int32(p.special[(base+m)&127]) + int32(mask&zeroOffset)) >> 5)
						m = m<<1 + 1 + mask
						distance += (1 + mask) << i
					}
				} else {
					value := uint32(0)
					for range bits - 4 {
						if rng < top {
							rng <<= 8
							code = code<<8 | uint32(in[at])
							at++
						}
						rng >>= 1
						code -= rng
						mask = -(code >> 31)
						code += rng & mask
						value = value<<1 + 1 + mask
					}
					distance += value << 4
					m = 1
					for i := range uint32(4) {
						if rng < top {
							rng <<= 8
							code = code<<8 | uint32(in[at])
							at++
						}
						bound = rng >> 11 * uint32(p.align[m&15])
						diff = uint64(code) - uint64(bound)
						mask = uint32(diff >> 32)
						rng = rng - bound + mask&(bound+bound-rng)
						code = uint32(diff) + bound&mask
						p.align[m&15] -= uint16((int32(p.align[m&15]) + int32(mask&zeroOffset)) >> 5)
						m = m<<1 + 1 + mask
						distance += (1 + mask) << i
					}
				}
			}
			d.rep[0] = distance
		}
		if int64(d.rep[0]) >= int64(min(filled+pos-begin, d.window)) {
			break decoding
		}
		d.left = int(length)
		pos = d.repeat(pos, limit)
	}
	d.at, d.rng, d.code, d.state = at, rng, code, state
	n = pos - begin
	d.advance(n)
	return n
}

// before returns the place n bytes before pos in a ring of that size.
func before(pos, n, size int) int {
	if pos < n {
		pos += size
	}
	return pos - n
}

// after returns the state after a match.
func after(state, early, late uint32) uint32 {
	if state < 7 {
		return early
	}
	return late
}
