package archive

import "io"

// DataOf returns how much of what r brings is not in holes.
func DataOf(r io.Reader) (int64, error) {
	var m dataMeter
	_, err := io.Copy(&m, r)
	return m.data(), err
}
