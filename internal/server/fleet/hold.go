package fleet

import (
	"context"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Held is a poll that is held until there is something to say. It costs a timer and
// no goroutine: whoever changes something that the device's plan depends on has it
// looked at again.
type Held struct {
	f      *Fleet
	d      *device
	req    james.PollRequest
	wait   time.Duration
	answer func(james.PollResponse)

	// Guarded by Fleet.mu.
	timer *time.Timer
	woken bool // is in Fleet.woken
	over  bool // is to be answered now, whatever there is to say
	ended bool
}

// HoldPoll is Poll for a caller that does not wait: it returns either the answer, or a
// Held, and then answer is called with it, once, in a goroutine of its own, unless
// GiveUp was faster.
func (f *Fleet) HoldPoll(ctx context.Context, id string, req james.PollRequest, answer func(james.PollResponse)) (james.PollResponse, *Held, error) {
	resp, held, err := f.begin(ctx, id, req, answer)
	if held == nil {
		f.counters.poll(&resp, err)
	}
	return resp, held, err
}

func (f *Fleet) begin(ctx context.Context, id string, req james.PollRequest, answer func(james.PollResponse)) (james.PollResponse, *Held, error) {
	if err := checkPoll(id, &req); err != nil {
		return james.PollResponse{}, nil, err
	}
	if err := f.hear(ctx, id, &req); err != nil {
		return james.PollResponse{}, nil, err
	}
	longest := int(james.MaxWait / time.Second)
	wait := time.Duration(max(0, min(req.Wait, longest))) * time.Second
	now := f.now()
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.surely(ctx, id)
	if err != nil {
		return james.PollResponse{}, nil, err
	}
	if d != nil {
		d.supersede()
		if d.reported != nil {
			f.see(d, now)
		}
	}
	resp := f.decide(d, &req)
	t := f.turnOf(id, d, wait)
	if wait == 0 || f.isDrained() || !idle(&resp) {
		f.pace(&resp, t, wait)
		return resp, nil, nil
	}
	h := &Held{f: f, d: d, req: req, wait: wait, answer: answer}
	h.timer = time.AfterFunc(t.held(wait), h.expire)
	d.held = h
	f.waiting++
	return james.PollResponse{}, h, nil
}

// nudge has the held poll looked at again, if there is one; Fleet.mu is held.
func (d *device) nudge() {
	if d.held != nil {
		d.held.wake()
	}
}

// supersede ends the held poll, if there is one, as the device has come again;
// Fleet.mu is held.
func (d *device) supersede() {
	if h := d.held; h != nil {
		d.held = nil
		h.over = true
		h.wake()
	}
}

// expire ends the poll, as its time is over.
func (h *Held) expire() {
	h.f.mu.Lock()
	h.over = true
	resp, ok := h.settle()
	h.f.mu.Unlock()
	if ok {
		h.f.counters.poll(&resp, nil)
		h.answer(resp)
	}
}

// settle ends the poll and returns its answer, if there is something to say or the poll
// is over, and has not ended already; Fleet.mu is held.
func (h *Held) settle() (resp james.PollResponse, ok bool) {
	f := h.f
	h.woken = false
	if h.ended {
		return resp, false
	}
	known := h.d
	if f.cat.devices[known.id] != known { // deleted meanwhile
		known = nil
	}
	resp = f.decide(known, &h.req)
	if !h.over && idle(&resp) {
		return resp, false
	}
	h.end()
	f.pace(&resp, f.turnOf(h.d.id, known, h.wait), h.wait)
	return resp, true
}

// end forgets the poll; Fleet.mu is held.
func (h *Held) end() {
	h.ended = true
	h.timer.Stop()
	h.f.waiting--
	if h.d.held == h {
		h.d.held = nil
	}
}

// GiveUp ends the poll, as there is nobody to answer any more. It returns false
// where the answer is on its way.
func (h *Held) GiveUp() bool {
	h.f.mu.Lock()
	defer h.f.mu.Unlock()
	if h.ended {
		return false
	}
	h.end()
	h.f.counters.failed.Add(1)
	return true
}

// Drain ends every held poll with an empty answer, and lets none be held from
// now on: jamesd is about to stop.
func (f *Fleet) Drain() { f.drain() }

// drainAll is Drain, for once.
func (f *Fleet) drainAll() {
	close(f.drained)
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range f.cat.devices {
		d.supersede()
	}
}

func (f *Fleet) isDrained() bool {
	select {
	case <-f.drained:
		return true
	default:
		return false
	}
}
