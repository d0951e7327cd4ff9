package transfer

import (
	"sync"
	"time"
)

// meter measures one answer: how fast it arrives, and how fast it is decoded,
// compared and written. The two happen at the same time.
type meter struct {
	now func() time.Time

	mu      sync.Mutex
	begun   time.Time
	bytes   int64         // that came
	first   time.Time     // when the first of them came
	early   int64         // how many came then
	last    time.Duration // from first until the last of them came
	full    time.Duration // of it, for which there was no room for more
	content int64         // bytes of files that were decoded
	waiting time.Duration // for which the decoder had nothing to do
	marked  time.Duration // since begun, when content was counted last
}

func newMeter(now func() time.Time) *meter { return &meter{now: now, begun: now()} }

// read counts bytes that came.
func (m *meter) read(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if n == 0 {
		return
	}
	m.bytes += int64(n)
	if m.first.IsZero() {
		m.first, m.early, m.full = m.now(), m.bytes, 0
	}
	m.last = m.now().Sub(m.first)
}

// held adds time for which the decoder had more than enough to do, so that nothing was
// asked for.
func (m *meter) held(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.full += took
}

func (m *meter) wait(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting += took
}

func (m *meter) decoded(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.content += n
	m.marked = m.now().Sub(m.begun)
}

// elapsed returns how long the answer is on its way, and what of it has come.
func (m *meter) elapsed() (time.Duration, int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now().Sub(m.begun), m.bytes
}

// stored returns the content that was decoded so far.
func (m *meter) stored() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.content
}

// What must have been measured to be relied on.
const (
	enoughTime  = 20 * time.Millisecond
	enoughBytes = 16 << 10
)

// link returns the bytes that arrive in a second, 0 where that is not known.
func (m *meter) link() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return perSecond(m.bytes-m.early, m.last-m.full)
}

// decode returns the bytes of content that are decoded in a second while there is
// something to decode, 0 where that is not known.
func (m *meter) decode() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	busy := m.marked - m.waiting
	if busy < enoughTime {
		return 0
	}
	return perSecond(m.content, busy)
}

func perSecond(n int64, d time.Duration) float64 {
	if n < enoughBytes {
		return 0
	}
	return float64(n) / max(d, time.Millisecond).Seconds()
}
