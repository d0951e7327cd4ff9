package regzip

import "math/bits"

// tree is a prefix code. It is that of Huffman for the counts of symbols; where there
// are several, it is the one that gzip's heap of nodes leads to.
type tree struct {
	size, base int     // symbols; the first that has extra bits
	extra      []uint8 // extra bits
	limit      int     // of the lengths

	count  []uint32 // of symbols, then of inner nodes
	parent []int
	depth  []uint8
	length []uint8
	code   []uint16
	last   int   // symbol that has a code
	forced []int // symbols that have codes without being there

	heap   []int // of nodes, the rarest at 1
	sorted []int // nodes by growing count
}

func newTree(size int, extra []uint8, base, limit int) *tree {
	nodes := 2*size + 1
	return &tree{size: size, base: base, extra: extra, limit: limit, count: make([]uint32, nodes), parent: make([]int, nodes),
		depth: make([]uint8, nodes), length: make([]uint8, nodes), code: make([]uint16, size)}
}

func (t *tree) clear() { clear(t.count) }

// rarer reports whether node a comes before node b: that of the smaller count, and of
// equal ones that with less below it.
func (t *tree) rarer(a, b int) bool {
	return t.count[a] < t.count[b] || t.count[a] == t.count[b] && t.depth[a] <= t.depth[b]
}

// sink restores the order of the heap below k.
func (t *tree) sink(k int) {
	node := t.heap[k]
	for child := 2 * k; child < len(t.heap); child = 2 * k {
		if child+1 < len(t.heap) && t.rarer(t.heap[child+1], t.heap[child]) {
			child++
		}
		if t.rarer(node, t.heap[child]) {
			break
		}
		t.heap[k] = t.heap[child]
		k = child
	}
	t.heap[k] = node
}

// build makes the code for the counts.
func (t *tree) build() {
	t.heap = append(t.heap[:0], 0)
	t.last, t.forced = -1, t.forced[:0]
	for i := range t.size {
		t.length[i] = 0
		if t.count[i] > 0 {
			t.push(i)
			t.last = i
		}
	}
	for len(t.heap) < 3 { // there is no code with less than two symbols
		forced := 0
		if t.last < 2 {
			t.last++
			forced = t.last
		}
		t.push(forced)
		t.count[forced] = 1
		t.forced = append(t.forced, forced)
	}
	for k := (len(t.heap) - 1) / 2; k >= 1; k-- {
		t.sink(k)
	}
	t.join()
	t.measure()
	t.assign()
}

func (t *tree) push(symbol int) {
	t.depth[symbol] = 0
	t.heap = append(t.heap, symbol)
}

// join makes one node of the two rarest ones until a single one is left.
func (t *tree) join() {
	t.sorted = t.sorted[:0]
	for node := t.size; len(t.heap) > 2; node++ {
		a := t.heap[1]
		t.heap[1] = t.heap[len(t.heap)-1]
		t.heap = t.heap[:len(t.heap)-1]
		t.sink(1)
		b := t.heap[1]
		t.sorted = append(t.sorted, a, b)
		t.count[node] = t.count[a] + t.count[b]
		t.depth[node] = max(t.depth[a], t.depth[b]) + 1
		t.parent[a], t.parent[b] = node, node
		t.heap[1] = node
		t.sink(1)
	}
	t.sorted = append(t.sorted, t.heap[1])
}

// measure sets the lengths of the codes.
func (t *tree) measure() {
	var of [maxBits + 1]int // symbols by length
	root := len(t.sorted) - 1
	t.length[t.sorted[root]] = 0
	tooLong := 0
	for i := root - 1; i >= 0; i-- {
		node := t.sorted[i]
		n := int(t.length[t.parent[node]]) + 1
		if n > t.limit {
			n = t.limit
			tooLong++
		}
		t.length[node] = uint8(n)
		if node < t.size {
			of[n]++
		}
	}
	if tooLong > 0 {
		t.shorten(&of, tooLong)
	}
}

// shorten brings codes that are too long within the limit, at the cost of others.
func (t *tree) shorten(of *[maxBits + 1]int, tooLong int) {
	for ; tooLong > 0; tooLong -= 2 {
		n := t.limit - 1
		for of[n] == 0 {
			n--
		}
		of[n]--
		of[n+1] += 2
		of[t.limit]--
	}
	i := 0
	for n := t.limit; n > 0; n-- {
		for left := of[n]; left > 0; i++ {
			if node := t.sorted[i]; node < t.size {
				t.length[node] = uint8(n)
				left--
			}
		}
	}
}

// assign sets the codes, of which deflate needs only the lengths to know them.
func (t *tree) assign() {
	var next [maxBits + 2]uint16
	for _, n := range t.length[:t.last+1] {
		if n > 0 {
			next[n+1]++
		}
	}
	for n := 1; n < len(next); n++ {
		next[n] = (next[n] + next[n-1]) << 1
	}
	for i, n := range t.length[:t.last+1] {
		if n > 0 {
			t.code[i] = bits.Reverse16(next[n]) >> (16 - n)
			next[n]++
		}
	}
}

// cost returns the bits that the counted symbols take with the lengths of a code.
func (t *tree) cost(code *tree) int {
	total := 0
	for i := range t.last + 1 {
		n := int(code.length[i])
		if i >= t.base && t.extra != nil {
			n += int(t.extra[i-t.base])
		}
		total += n * int(t.count[i])
	}
	for _, i := range t.forced {
		total -= int(code.length[i])
	}
	return total
}
