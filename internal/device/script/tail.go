package script

import (
	"strings"
	"sync"
)

// tail keeps the last limit bytes of what is written to it.
type tail struct {
	limit int

	mu   sync.Mutex
	buf  []byte
	lost bool
}

// cutMark stands at the beginning of an output whose beginning was dropped.
const cutMark = "[...]\n"

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if n > t.limit {
		t.lost, p = true, p[n-t.limit:]
	}
	if drop := len(t.buf) + len(p) - t.limit; drop > 0 {
		t.lost = true
		t.buf = append(t.buf[:0], t.buf[drop:]...)
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// String returns what is kept as valid UTF-8 of at most limit bytes.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := string(t.buf)
	if t.lost {
		s = cutMark + s[min(len(s), len(cutMark)):]
	}
	s = strings.ToValidUTF8(s, "?") // one byte for each run: it never grows
	return strings.ReplaceAll(s, "\x00", "?")
}
