package delta

import "encoding/binary"

// writer collects a patch.
type writer struct {
	p            Patch
	begin        int64 // of what is collected, in what all pieces of a program make
	copy, insert int64 // of the piece that is being collected
	at, end      int64 // of its copy, and where the copy before it ended
	gap          int64
}

func (w *writer) uint(k column, n int64) { w.p.cols[k] = binary.AppendUvarint(w.p.cols[k], uint64(n)) }

// add adds a segment. Copies that go on where the last one ended become one.
func (w *writer) add(s segment) {
	if !s.copied {
		w.insert += s.size
		w.p.cols[literal] = append(w.p.cols[literal], s.bytes...)
		return
	}
	if w.insert > 0 || w.at+w.copy != s.at {
		w.flush()
		w.at = s.at
	}
	w.copy += s.size
	if s.bytes == nil {
		w.gap += s.size
		return
	}
	w.p.runs++
	w.uint(gaps, w.gap)
	w.uint(runs, s.size)
	w.p.cols[deltas] = append(w.p.cols[deltas], s.bytes...)
	w.gap = 0
}

// flush ends the piece that is being collected, if there is one.
func (w *writer) flush() {
	if w.copy == 0 && w.insert == 0 {
		return
	}
	w.p.pieces++
	w.uint(copies, w.copy)
	w.p.cols[seeks] = binary.AppendVarint(w.p.cols[seeks], w.at-w.end)
	w.uint(inserts, w.insert)
	w.p.size += w.copy + w.insert
	w.end = w.at + w.copy
	w.at = w.end
	w.copy, w.insert = 0, 0
}

// patch ends the patch.
func (w *writer) patch() *Patch {
	w.flush()
	return &w.p
}
