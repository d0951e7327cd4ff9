package archive

import (
	"bytes"

	"github.com/trusch/jamesd/pkg/james"
)

// dataMeter counts the pieces of what is written to it that are not all zeros:
// what a file takes that is written with holes.
type dataMeter struct {
	pieces int64
	at     int // in the piece
	some   bool
}

var zeros [james.DataUnit]byte

func (m *dataMeter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := min(len(rest), james.DataUnit-m.at)
		m.some = m.some || !bytes.Equal(rest[:n], zeros[:n])
		if rest, m.at = rest[n:], m.at+n; m.at == james.DataUnit {
			m.end()
		}
	}
	return len(p), nil
}

func (m *dataMeter) end() {
	if m.some {
		m.pieces++
	}
	m.at, m.some = 0, false
}

// data returns how many bytes the pieces have.
func (m *dataMeter) data() int64 {
	m.end()
	return m.pieces * james.DataUnit
}
