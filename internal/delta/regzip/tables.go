package regzip

import "math/bits"

// The alphabets of deflate (RFC 1951).
const (
	endOfBlock = 256
	literals   = 286 // and lengths
	distances  = 30
	lengths    = 19 // of codes
	maxBits    = 15
)

// lengthExtra and distanceExtra are the extra bits of each code.
var (
	lengthExtra   = [29]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distanceExtra = [distances]uint8{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
	repeatExtra   = [lengths]uint8{16: 2, 17: 3, 18: 7}

	// codeOrder is the order in which the lengths of the codes of lengths are sent.
	codeOrder = [lengths]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// lengthCode returns the code of a match of n+minMatch bytes, without the literals, and
// what its extra bits hold.
func lengthCode(n int) (code int, extra uint32) {
	switch {
	case n == maxMatch-minMatch:
		return 28, 0
	case n < 8:
		return n, 0
	}
	width := bits.Len(uint(n)) - 3
	return width*4 + n>>width, uint32(n & (1<<width - 1))
}

// distanceCode returns the code of a distance less one and what its extra bits hold.
func distanceCode(d int) (code int, extra uint32) {
	if d < 4 {
		return d, 0
	}
	width := bits.Len(uint(d)) - 2
	return width*2 + d>>width, uint32(d & (1<<width - 1))
}

// fixed are the codes that need not be sent.
var fixedLiterals, fixedDistances = fixedTrees()

func fixedTrees() (literal, distance *tree) {
	literal, distance = newTree(literals+2, nil, 0, maxBits), newTree(distances, nil, 0, maxBits)
	for i := range literal.size {
		n := uint8(8)
		switch {
		case i >= 144 && i < 256:
			n = 9
		case i >= 256 && i < 280:
			n = 7
		}
		literal.length[i] = n
	}
	for i := range distance.size {
		distance.length[i] = 5
	}
	literal.last, distance.last = literal.size-1, distance.size-1
	literal.assign()
	distance.assign()
	return literal, distance
}
