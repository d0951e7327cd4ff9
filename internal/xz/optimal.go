package xz

import "math"

// horizon is how many bytes ahead the operations are chosen together.
const horizon = 4096

// op is an operation: a literal, or a match or repetition of length bytes.
type op struct {
	back   int32 // literal, the number of a last distance, or a distance and lastDistances-1
	length int32
}

const (
	literal       = -1
	lastDistances = 4
)

// node is a place ahead, and the cheapest way to it that is known: from an earlier
// place by op, and where tail is set by a literal (unless op is one) and a repetition
// of the last distance with tail bytes.
type node struct {
	price uint32
	from  int32
	op    op
	tail  int32

	state state
	last  [lastDistances]uint32
}

// follow returns the state and the last distances after an operation.
func follow(s state, last [lastDistances]uint32, o op) (state, [lastDistances]uint32) {
	switch {
	case o.back == literal:
		return s.literal(), last
	case o.back >= lastDistances:
		return s.match(), [lastDistances]uint32{uint32(o.back) - lastDistances + 1, last[0], last[1], last[2]}
	case o.length == 1:
		return s.short(), last
	}
	d := last[o.back]
	copy(last[1:o.back+1], last[:o.back])
	last[0] = d
	return s.rep(), last
}

var (
	literalOp = op{literal, 1}
	shortOp   = op{0, 1}
)

// arrive sets the state of the node at i by the way to it.
func (e *encoder) arrive(i int) {
	n := &e.nodes[i]
	from := &e.nodes[n.from]
	n.state, n.last = follow(from.state, from.last, n.op)
	if n.tail > 0 {
		if n.op.back != literal {
			n.state, n.last = follow(n.state, n.last, literalOp)
		}
		n.state, n.last = follow(n.state, n.last, op{0, n.tail})
	}
}

// reach notes a way to the node at i unless a cheaper one is known.
func (e *encoder) reach(i int, price uint32, from int, o op, tail int) {
	for ; e.reached < i; e.reached++ {
		e.nodes[e.reached+1].price = math.MaxUint32
	}
	if n := &e.nodes[i]; price < n.price {
		n.price, n.from, n.op, n.tail = price, int32(from), o, int32(tail)
	}
}

// plan chooses the operations that come next, into e.ops, the last of them first.
func (e *encoder) plan() {
	e.tables.refresh(&e.model)
	e.reached = 0
	e.nodes[0] = node{state: e.state, last: e.last}
	cur := 0
	for {
		if cur > 0 {
			if cur == e.reached {
				break
			}
			e.arrive(cur)
		}
		long, ok := e.look(cur)
		if ok && cur == 0 {
			e.ops = append(e.ops[:0], long)
			e.find.skip(int(long.length) - 1)
			e.ahead = false
			return
		}
		if ok {
			break
		}
		e.expand(cur)
		e.ahead = false
		cur++
	}
	e.trace(cur)
}

// look reads the matches of a place, and returns an operation that is long enough to
// be taken as it is, if there is any.
func (e *encoder) look(cur int) (op, bool) {
	if !e.ahead {
		e.matches, e.ahead = e.find.next(), true
	}
	p := e.pos + cur
	limit := min(maxMatch, len(e.find.buf)-p)
	for i, d := range e.nodes[cur].last {
		if n := e.common(p, d, 0, limit); n >= niceMatch {
			return op{int32(i), int32(n)}, true
		}
	}
	if k := len(e.matches) - 1; k >= 0 && e.matches[k].length >= niceMatch {
		m := e.matches[k]
		return op{int32(m.distance) + lastDistances - 1, int32(e.common(p, m.distance, m.length, limit))}, true
	}
	return op{}, false
}

// common returns how many bytes from p on are as those distance before, if that many
// are there.
func (e *encoder) common(p int, distance uint32, n, limit int) int {
	if int(distance) > p || limit < n {
		return 0
	}
	return common(e.find.buf[p:], e.find.buf[p-int(distance):], n, limit)
}

// trace writes the way to the node at i into e.ops.
func (e *encoder) trace(i int) {
	e.ops = e.ops[:0]
	for i > 0 {
		n := &e.nodes[i]
		if n.tail > 0 {
			e.ops = append(e.ops, op{0, n.tail})
			if n.op.back != literal {
				e.ops = append(e.ops, literalOp)
			}
		}
		e.ops = append(e.ops, n.op)
		i = int(n.from)
	}
}

// expand notes all operations that lead on from the node at cur.
func (e *encoder) expand(cur int) {
	n := &e.nodes[cur]
	p := e.pos + cur
	avail := min(len(e.find.buf)-p, horizon-cur)
	buf, m, place := e.find.buf, &e.model, p&(places-1)
	matchPrice := n.price + price(m.match[n.state][place], 1)
	repPrice := matchPrice + price(m.rep[n.state], 1)
	literalPrice := n.price + price(m.match[n.state][place], 0) + e.literalPrice(p, n.state, n.last[0])
	e.reach(cur+1, literalPrice, cur, literalOp, 0)
	again := int(n.last[0]) <= p && buf[p] == buf[p-int(n.last[0])]
	if again {
		short := repPrice + price(m.g0[n.state], 0) + price(m.repLong[n.state][place], 0)
		e.reach(cur+1, short, cur, shortOp, 0)
	}
	if avail < minMatch {
		return
	}
	if !again {
		e.thenRepeat(cur, p+1, literalPrice, literalOp, n.state.literal(), n.last[0], avail-1)
	}
	shortest := e.expandRepeats(cur, p, repPrice, min(avail, maxMatch), avail)
	e.expandMatches(cur, p, matchPrice+price(m.rep[n.state], 0), shortest, avail)
}

// thenRepeat notes a repetition of a distance from p on, after o and maybe a literal.
func (e *encoder) thenRepeat(cur, p int, price uint32, o op, s state, distance uint32, avail int) {
	n := e.common(p, distance, 0, min(avail, niceMatch))
	if n < minMatch {
		return
	}
	e.reach(p-e.pos+n, price+e.repeatPrice(p, s, n), cur, o, n)
}

// repeatPrice is that of a repetition of the last distance.
func (e *encoder) repeatPrice(p int, s state, length int) uint32 {
	m, place := &e.model, p&(places-1)
	return price(m.match[s][place], 1) + price(m.rep[s], 1) + price(m.g0[s], 0) +
		price(m.repLong[s][place], 1) + e.tables.repeated[place][length-minMatch]
}

// thenLiteral notes that o, which ends before p, is followed by a literal and then by
// more of the same distance.
func (e *encoder) thenLiteral(cur, p int, price0 uint32, o op, s state, distance uint32, avail int) {
	if avail <= minMatch {
		return
	}
	n := e.common(p+1, distance, 0, min(avail-1, niceMatch))
	if n < minMatch {
		return
	}
	price0 += price(e.model.match[s][p&(places-1)], 0) + e.literalPrice(p, s, distance)
	e.reach(p+1-e.pos+n, price0+e.repeatPrice(p+1, s.literal(), n), cur, o, n)
}

func (e *encoder) expandRepeats(cur, p int, base uint32, limit, avail int) int {
	n := &e.nodes[cur]
	shortest, s, last := minMatch, n.state, n.last
	for i, d := range last {
		length := e.common(p, d, 0, limit)
		if length < minMatch {
			continue
		}
		start := base + e.choicePrice(i, p, s)
		lengths := &e.tables.repeated[p&(places-1)]
		for k := length; k >= minMatch; k-- {
			e.reach(cur+k, start+lengths[k-minMatch], cur, op{int32(i), int32(k)}, 0)
		}
		if i == 0 {
			shortest = length + 1
		}
		e.thenLiteral(cur, p+length, start+lengths[length-minMatch], op{int32(i), int32(length)}, s.rep(), d, avail-length)
	}
	return shortest
}

// choicePrice is that of saying which of the last distances is meant.
func (e *encoder) choicePrice(i, p int, s state) uint32 {
	m := &e.model
	if i == 0 {
		return price(m.g0[s], 0) + price(m.repLong[s][p&(places-1)], 1)
	}
	sum := price(m.g0[s], 1)
	if i == 1 {
		return sum + price(m.g1[s], 0)
	}
	return sum + price(m.g1[s], 1) + price(m.g2[s], uint32(i-2))
}

func (e *encoder) expandMatches(cur, p int, base uint32, shortest, avail int) {
	lengths := &e.tables.lengths[p&(places-1)]
	after := e.nodes[cur].state.match()
	length := shortest
	for _, m := range e.matches {
		longest := min(m.length, avail)
		o := op{back: int32(m.distance) + lastDistances - 1}
		for ; length <= longest; length++ {
			o.length = int32(length)
			whole := base + lengths[length-minMatch] + e.tables.distance(m.distance-1, length)
			e.reach(cur+length, whole, cur, o, 0)
			if length == longest {
				e.thenLiteral(cur, p+length, whole, o, after, m.distance, avail-length)
			}
		}
	}
}

// literalPrice is that of the byte at p, without saying that it is a literal.
func (e *encoder) literalPrice(p int, s state, distance uint32) uint32 {
	buf := e.find.buf
	probs := e.model.literal(byteBefore(buf, p))
	if s.afterLiteral() || int(distance) > p {
		return treePrice(probs, uint32(buf[p]), 8)
	}
	return matchedPrice(probs, buf[p], buf[p-int(distance)])
}

func byteBefore(buf []byte, p int) byte {
	if p == 0 {
		return 0
	}
	return buf[p-1]
}
