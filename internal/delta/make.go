package delta

import "context"

// Limits bound what making a patch takes. The zero value means the defaults.
type Limits struct {
	// MaxMemory is for the index of the base, in bytes; 0 means DefaultMaxMemory. Up
	// to eight times the size of the base are used. With less the index is coarser:
	// with an eighth of that, short matches are missed and patches a little larger.
	// The patch comes on top of it; it is seldom larger than a part of the new
	// content, and never larger than about twice of it.
	MaxMemory int64
}

// DefaultMaxMemory is for the index of a base where Limits does not say otherwise.
const DefaultMaxMemory = 256 << 20

// Make returns the patch that makes new out of old, which are not changed. The time is
// bounded by a multiple of the sizes of both. It fails only with the error of ctx.
//
// What gzip has made of up to 7 MiB is patched as that: the content of the new file is
// made out of the content of the old one, and compressed again.
func Make(ctx context.Context, old, new []byte, lim Limits) (*Patch, error) {
	if lim.MaxMemory <= 0 {
		lim.MaxMemory = DefaultMaxMemory
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if a, b, form, ok := contents(old, new); ok {
		pieces, err := match(ctx, a, b, lim)
		if err != nil {
			return nil, err
		}
		p := write(a, b, pieces, nil)
		p.gz = &gzipped{form: form, content: int64(len(a)), size: int64(len(new))}
		if p.Encoded() <= MaxBatch/2 {
			return p, nil
		}
	}
	return makeContent(ctx, old, new, lim)
}

// makeContent makes a patch of bytes as they are, or as a program where that is less.
func makeContent(ctx context.Context, old, new []byte, lim Limits) (*Patch, error) {
	pieces, err := match(ctx, old, new, lim)
	if err != nil {
		return nil, err
	}
	best := write(old, new, pieces, nil)
	m := machineOf(old)
	if m == noMachine || len(best.cols[deltas]) == 0 || best.geometry() > maxGeometry {
		return best, nil
	}
	var r *relocator
	for pass := range passes {
		if pass > 0 {
			if pieces, err = match(ctx, r.all(old), new, lim); err != nil {
				return nil, err
			}
		}
		r = newRelocator(m, old)
		r.learn(old, new, pieces)
		p := write(old, new, pieces, r)
		if p.Encoded() >= best.Encoded() || p.geometry() > maxGeometry {
			break
		}
		best = p
	}
	return best, nil
}

// passes is how often the addresses of a program are learned: when it is known how its parts have
// moved, their addresses are, and with those it is seen better how they have moved.
const passes = 2

// match returns the pieces that make new out of something like old.
func match(ctx context.Context, old, new []byte, lim Limits) ([]piece, error) {
	m := maker{ctx: ctx, old: old, new: new, index: newIndex(old, lim.MaxMemory)}
	m.index.work = workPerByte * int64(len(old)+len(new))
	err := m.run()
	return m.pieces, err
}

// workPerByte bounds the time: more comparisons for each byte of both contents are
// not made, and what is found without them has to do.
const workPerByte = 32

// maker makes a patch. It walks over the new content, looking for matches in the old
// one that are better than going on with the copy that was found last, as bsdiff does.
type maker struct {
	ctx      context.Context
	old, new []byte
	index    *index
	pieces   []piece

	// What is before done has been written. The copy that was found last goes on
	// there; shift is its place in the base less its place in the new content.
	done, shift int
}

// run finds all matches and writes what lies between two of them.
func (m *maker) run() error {
	scan, length := 0, 0
	for scan < len(m.new) {
		at, score, from := 0, 0, scan+length
		counted := from
		for scan = from; scan < len(m.new); scan++ {
			if scan&0xfff == 0 && m.ctx.Err() != nil {
				return m.ctx.Err()
			}
			at, length = m.index.find(m.new[scan:], scan+m.shift)
			for ; counted < scan+length; counted++ {
				score += m.same(counted)
			}
			if length > 0 && length == score || length > score+seed {
				break
			}
			if scan < counted {
				score -= m.same(scan)
			} else {
				counted = scan + 1
			}
		}
		if length != score || scan == len(m.new) {
			m.piece(scan, at)
		}
	}
	return nil
}

// same returns 1 where the last copy, going on, copies the right byte.
func (m *maker) same(i int) int {
	if p := i + m.shift; p >= 0 && p < len(m.old) && m.old[p] == m.new[i] {
		return 1
	}
	return 0
}

// piece writes what is before the match of the new content at scan with the base at a
// place: the last copy goes on as far as that pays, the match goes back likewise, and
// what is between them is inserted.
func (m *maker) piece(scan, at int) {
	forward, backward := m.forward(scan), 0
	if scan < len(m.new) {
		backward = m.backward(scan, at)
	}
	if overlap := m.done + forward - (scan - backward); overlap > 0 {
		keep := m.divide(m.done+forward-overlap, at-scan, overlap)
		forward -= overlap - keep
		backward -= keep
	}
	from, to := m.done+forward, scan-backward
	m.pieces = append(m.pieces, piece{at: m.done + m.shift, copy: forward, insert: to - from})
	m.done, m.shift = to, at-scan
}

// forward returns how far the last copy should go on before scan: as far as more than
// half of its bytes are right.
func (m *maker) forward(scan int) int {
	score, best, length := 0, 0, 0
	place := m.done + m.shift
	limit := min(scan-m.done, len(m.old)-place)
	for i := 0; i < limit; {
		if m.old[place+i] == m.new[m.done+i] {
			score++
		}
		i++
		if 2*score-i > best {
			best, length = 2*score-i, i
		}
	}
	return length
}

// backward returns likewise how far a match should begin before its place.
func (m *maker) backward(scan, at int) int {
	score, best, length := 0, 0, 0
	limit := min(scan-m.done, at, longest)
	if m.index.work < 0 {
		limit = min(limit, 32*seed)
	}
	m.index.work -= int64(limit)
	for i := 1; i <= limit; i++ {
		if m.old[at-i] == m.new[scan-i] {
			score++
		}
		if 2*score-i > best {
			best, length = 2*score-i, i
		}
	}
	return length
}

// divide returns how many of the bytes from a place of the new content on the last
// copy should make, where the copy that follows, of that shift, can make them as well.
func (m *maker) divide(from, shift, overlap int) int {
	score, best, keep := 0, 0, 0
	for i := range overlap {
		b := m.new[from+i]
		if m.old[from+i+m.shift] == b {
			score++
		}
		if m.old[from+i+shift] == b {
			score--
		}
		if score > best {
			best, keep = score, i+1
		}
	}
	return keep
}
