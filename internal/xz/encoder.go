package xz

// encoder makes chunks of LZMA2. It chooses operations by their prices, as the
// programs that are known for LZMA do; so what it makes is about as small as theirs.
type encoder struct {
	model   model
	tables  tables
	find    *finder
	begin   int // in find.buf, of the chunk
	pos     int // of what is encoded next
	state   state
	last    [lastDistances]uint32
	coder   rangeEncoder
	matches []match // of the place that the finder has gone past last
	ahead   bool    // those are for the place that is planned next
	ops     []op    // that were planned, the last first
	nodes   []node
	reached int // the farthest node

	needDictionary, needProperties, needState bool
}

func newEncoder(dictionary int) *encoder {
	return &encoder{find: newFinder(dictionary), nodes: make([]node, horizon+1), needDictionary: true, needProperties: true, needState: true}
}

const (
	chunkSize       = 2 << 20 // bytes of content
	maxCompressed   = 64 << 10
	maxUncompressed = 64 << 10
	// opRoom is what an operation takes at most, lookahead how far planning looks.
	opRoom    = 128
	lookahead = horizon + 2*maxMatch
)

// run encodes content up to end, or somewhat more, and appends the chunks that it has
// filled to dst.
func (e *encoder) run(dst []byte, end int) []byte {
	for e.pos < end {
		if e.pos == e.begin {
			e.start()
		}
		if len(e.ops) == 0 {
			e.plan()
		}
		o := e.ops[len(e.ops)-1]
		e.ops = e.ops[:len(e.ops)-1]
		e.encode(o)
		if e.pos-e.begin > chunkSize-maxMatch || e.coder.size() > maxCompressed-opRoom {
			dst = e.end(dst)
		}
	}
	return dst
}

func (e *encoder) start() {
	e.coder.reset()
	if e.needState {
		e.model.reset()
		e.state, e.last = 0, [lastDistances]uint32{1, 1, 1, 1}
		e.tables.age = 0
	}
}

// end appends the chunk that was begun, if there is one.
func (e *encoder) end(dst []byte) []byte {
	if e.pos == e.begin {
		return dst
	}
	compressed := e.coder.finish()
	if len(compressed) >= e.pos-e.begin {
		dst = e.plain(dst)
	} else {
		dst = append(e.head(dst, e.pos-e.begin, len(compressed)), compressed...)
	}
	e.begin = e.pos
	return dst
}

// head appends the head of a compressed chunk.
func (e *encoder) head(dst []byte, size, compressed int) []byte {
	control := byte(0x80)
	switch {
	case e.needDictionary:
		control = 0xe0
	case e.needProperties:
		control = 0xc0
	case e.needState:
		control = 0xa0
	}
	size--
	compressed--
	dst = append(dst, control|byte(size>>16), byte(size>>8), byte(size), byte(compressed>>8), byte(compressed))
	if control >= 0xc0 {
		dst = append(dst, properties)
	}
	e.needDictionary, e.needProperties, e.needState = false, false, false
	return dst
}

// plain appends the chunk as it is, with all that the finder has gone past, as the
// operations that were planned for that are for another state.
func (e *encoder) plain(dst []byte) []byte {
	e.pos = e.find.at
	e.ops, e.ahead, e.needState = e.ops[:0], false, true
	for content := e.find.buf[e.begin:e.pos]; len(content) > 0; {
		n := min(len(content), maxUncompressed)
		control := byte(2)
		if e.needDictionary {
			control = 1
		}
		e.needDictionary = false
		dst = append(append(dst, control, byte((n-1)>>8), byte(n-1)), content[:n]...)
		content = content[n:]
	}
	return dst
}

// encode encodes an operation.
func (e *encoder) encode(o op) {
	m, place, s := &e.model, e.pos&(places-1), e.state
	if o.back == literal {
		e.coder.bit(&m.match[s][place], 0)
		e.encodeLiteral()
	} else {
		e.tables.age--
		e.coder.bit(&m.match[s][place], 1)
		e.encodeMatch(o, place)
	}
	e.state, e.last = follow(e.state, e.last, o)
	e.pos += int(o.length)
}

func (e *encoder) encodeLiteral() {
	buf := e.find.buf
	probs := e.model.literal(byteBefore(buf, e.pos))
	if e.state.afterLiteral() {
		e.coder.tree(probs, uint32(buf[e.pos]), 8)
		return
	}
	e.coder.matched(probs, buf[e.pos], buf[e.pos-int(e.last[0])])
}

func (e *encoder) encodeMatch(o op, place int) {
	m, s, r := &e.model, e.state, &e.coder
	if o.back >= lastDistances {
		r.bit(&m.rep[s], 0)
		r.length(&m.lengths, int(o.length), place)
		r.distance(m, uint32(o.back)-lastDistances, int(o.length))
		return
	}
	r.bit(&m.rep[s], 1)
	switch o.back {
	case 0:
		r.bit(&m.g0[s], 0)
		if o.length == 1 {
			r.bit(&m.repLong[s][place], 0)
			return
		}
		r.bit(&m.repLong[s][place], 1)
	case 1:
		r.bit(&m.g0[s], 1)
		r.bit(&m.g1[s], 0)
	default:
		r.bit(&m.g0[s], 1)
		r.bit(&m.g1[s], 1)
		r.bit(&m.g2[s], int(o.back)-2)
	}
	r.length(&m.repeated, int(o.length), place)
}
