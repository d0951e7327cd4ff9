package xz

import "math"

// NearRebase makes a new writer begin as one that has written some 2 GiB, so that its
// numbers have to become smaller after another left bytes.
func NearRebase(w *Writer, left int) { w.encoder.find.pos = math.MaxInt32 - uint32(left) }
