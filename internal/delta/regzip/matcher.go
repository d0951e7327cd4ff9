package regzip

import (
	"errors"
	"io"
)

// What deflate and gzip fix.
const (
	minMatch   = 3
	maxMatch   = 258
	windowSize = 32 << 10
	windowMask = windowSize - 1
	hashBits   = 15
	hashShift  = (hashBits + minMatch - 1) / minMatch
	hashMask   = 1<<hashBits - 1
	lookahead  = maxMatch + minMatch + 1 // bytes ahead, unless there are no more
	maxDist    = windowSize - lookahead
	tooFar     = 4096 // for a match of minMatch bytes
)

// level says how hard to look for matches.
type level struct {
	good  int // a match this long lets a better one be looked for less hard
	lazy  int // not at all with one this long
	nice  int // and a match this long is good enough
	chain int // places looked at
}

// levels are those that look one place further before they take a match.
var levels = [10]level{4: {4, 4, 16, 16}, 5: {8, 16, 32, 32}, 6: {8, 16, 128, 128}, 7: {8, 32, 128, 256}, 8: {32, 128, 258, 1024}, 9: {32, 258, 258, 4096}}

// matcher finds matches in a window over the content and hands them to a block. Two
// windows lie in a buffer, whose upper half moves to the lower one when it is full. The
// bytes behind the end of the content are what was there before, as in gzip: they
// decide which of several matches is taken at the end.
type matcher struct {
	level
	in     io.Reader
	blocks *blocks
	buf    [2 * windowSize]byte
	head   [1 << hashBits]uint16 // last place of each hash; 0 is none
	before [windowSize]uint16    // the place before it with the same hash

	at, ahead  int // place in buf, and bytes that are there from it on
	block      int // where the block begins, negative where that has moved out
	hash       int // of the bytes at the place
	found      int // the place of the last match
	length     int // of the match at the place, and at the one before
	lastLength int
	waiting    bool // the byte before the place is not yet in the block
	ended      bool
	err        error
	effort     int // places that may still be looked at
}

// ErrEffort says that a content is one of the rare ones, all alike and never the same,
// for which gzip takes a very long time.
var ErrEffort = errors.New("compressing it takes too long")

// effortPerByte is how many places are looked at for each byte, on average of all that
// has been read. Texts and programs take up to 30 at the highest level.
const effortPerByte = 64

// start fills the buffer for the first time.
func (m *matcher) start() {
	m.read(m.buf[:])
	m.fill()
	m.length = minMatch - 1
	m.roll(m.buf[0])
	m.roll(m.buf[1])
}

// read reads as much as there is room for.
func (m *matcher) read(room []byte) {
	n, err := io.ReadFull(m.in, room)
	m.ahead += n
	m.effort += n * effortPerByte
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		m.err = err
		m.ended = true
	}
	if n == 0 {
		m.ended = true
		clear(room[:min(len(room), minMatch-1)])
	}
}

// fill reads on while too few bytes are ahead.
func (m *matcher) fill() {
	for m.ahead < lookahead && !m.ended {
		if m.at >= windowSize+maxDist {
			m.slide()
		}
		m.read(m.buf[m.at+m.ahead:])
	}
}

func (m *matcher) slide() {
	copy(m.buf[:windowSize], m.buf[windowSize:])
	m.found -= windowSize
	m.at -= windowSize
	m.block -= windowSize
	for _, places := range [][]uint16{m.head[:], m.before[:]} {
		for i, p := range places {
			places[i] = max(p, windowSize) - windowSize
		}
	}
}

func (m *matcher) roll(c byte) { m.hash = (m.hash<<hashShift ^ int(c)) & hashMask }

// insert notes the place that is next and returns the last one with the same hash.
func (m *matcher) insert() int {
	m.roll(m.buf[m.at+minMatch-1])
	last := m.head[m.hash]
	m.before[m.at&windowMask] = last
	m.head[m.hash] = uint16(m.at)
	return int(last)
}

// run takes matches until a block ends. It reports false when that was the last one.
func (m *matcher) run() bool {
	for m.ahead > 0 {
		if m.effort < 0 {
			m.err = ErrEffort
			return false
		}
		place := m.insert()
		m.lastLength = m.length
		lastFound := m.found
		m.length = minMatch - 1
		if place != 0 && m.lastLength < m.lazy && m.at-place <= maxDist && m.at <= len(m.buf)-lookahead {
			m.longest(place)
		}
		end := false
		switch {
		case m.lastLength >= minMatch && m.length <= m.lastLength:
			end = m.take(lastFound)
		case m.waiting:
			end = m.literal()
			m.step()
		default:
			m.waiting = true
			m.step()
		}
		m.fill()
		if end {
			return true
		}
	}
	if m.waiting {
		m.blocks.add(0, int(m.buf[m.at-1]), m.at-m.block)
	}
	m.end(true)
	return false
}

func (m *matcher) step() {
	m.at++
	m.ahead--
}

// literal takes the byte before the place, and ends the block where it must end.
func (m *matcher) literal() bool {
	if m.blocks.add(0, int(m.buf[m.at-1]), m.at-m.block) {
		m.end(false)
		return true
	}
	return false
}

// take takes the match that began a byte before the place.
func (m *matcher) take(found int) bool {
	end := m.blocks.add(m.at-1-found, m.lastLength-minMatch, m.at-m.block)
	m.ahead -= m.lastLength - 1
	for range m.lastLength - 2 {
		m.at++
		m.insert()
	}
	m.at++
	m.waiting, m.length = false, minMatch-1
	if end {
		m.end(false)
	}
	return end
}

// end ends the block before the place.
func (m *matcher) end(last bool) {
	var raw []byte
	if m.block >= 0 {
		raw = m.buf[m.block:m.at]
	}
	m.blocks.end(raw, m.at-m.block, last)
	m.block = m.at
}

// longest looks for a match longer than the last one, beginning with a place.
func (m *matcher) longest(place int) {
	chain, best := m.chain, m.lastLength
	if best >= m.good {
		chain /= 4
	}
	m.effort -= chain
	limit := max(m.at-maxDist, 0)
	scan := m.buf[m.at : m.at+maxMatch]
	for {
		match := m.buf[place : place+maxMatch]
		if match[best] == scan[best] && match[best-1] == scan[best-1] && match[0] == scan[0] && match[1] == scan[1] {
			n := 2
			for n < maxMatch && match[n] == scan[n] {
				n++
			}
			if n > best {
				m.found, best = place, n
				if n >= m.nice {
					break
				}
			}
		}
		place = int(m.before[place&windowMask])
		if chain--; chain == 0 || place <= limit {
			break
		}
	}
	m.effort += chain
	m.length = min(best, m.ahead)
	if m.length == minMatch && m.at-m.found > tooFar {
		m.length--
	}
}
