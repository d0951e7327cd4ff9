package wire

// Header returns an answer without what is said of its body.
func (a Answer) Header() Answer {
	a.length, a.chunked = 0, false
	return a
}
