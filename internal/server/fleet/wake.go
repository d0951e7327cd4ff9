package fleet

import "github.com/trusch/jamesd/pkg/james"

// wakeBatch is how many held polls are looked at without letting go of Fleet.mu, which
// is a fraction of a millisecond.
const wakeBatch = 32

// wake has the poll looked at again; Fleet.mu is held. One goroutine looks at all that
// were woken: where a change wakes thousands, as many would wait for each other, and
// everybody else for them.
func (h *Held) wake() {
	if h.woken || h.ended {
		return
	}
	h.woken = true
	f := h.f
	f.woken = append(f.woken, h)
	if !f.waking {
		f.waking = true
		go f.lookAgain()
	}
}

// settled is a held poll with its answer.
type settled struct {
	h    *Held
	resp james.PollResponse
}

// lookAgain answers those polls that were woken and have something to say, until no more
// are.
func (f *Fleet) lookAgain() {
	batch := make([]settled, 0, wakeBatch)
	for more := true; more; {
		batch, more = f.settleSome(batch[:0])
		for _, s := range batch {
			f.counters.poll(&s.resp, nil)
			go s.h.answer(s.resp)
		}
	}
}

// settleSome adds those of the next polls that have an answer, and reports whether others
// were woken.
func (f *Fleet) settleSome(batch []settled) (_ []settled, more bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.woken), wakeBatch)
	for i, h := range f.woken[:n] {
		f.woken[i] = nil
		if resp, ok := h.settle(); ok {
			batch = append(batch, settled{h, resp})
		}
	}
	f.woken = f.woken[n:]
	if len(f.woken) == 0 {
		f.woken, f.waking = nil, false
	}
	return batch, f.waking
}
