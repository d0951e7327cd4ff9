package fleet

import (
	"context"
	"time"
)

// see notes that the device polls now; Fleet.mu is held.
func (f *Fleet) see(d *device, now time.Time) {
	d.seen = now
	f.unsaved[d.id] = now
}

// saveSeen writes the last-seen times that are new. What could not be written
// stays for the next time.
func (f *Fleet) saveSeen(ctx context.Context) error {
	f.mu.Lock()
	batch := f.unsaved
	f.unsaved = make(map[string]time.Time, len(batch))
	f.mu.Unlock()
	if len(batch) == 0 {
		return nil
	}
	err := f.o.Store.Touch(ctx, batch)
	if err == nil {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for id, t := range batch {
		if _, newer := f.unsaved[id]; !newer {
			f.unsaved[id] = t
		}
	}
	return err
}

// loadSeen takes over what any jamesd on this store has written.
func (f *Fleet) loadSeen(ctx context.Context) error {
	seen, err := f.o.Store.Seen(ctx)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for id, t := range seen {
		if n++; n%100 == 0 { // polls go on meanwhile
			f.mu.Unlock()
			f.mu.Lock()
		}
		if d := f.cat.devices[id]; d != nil && t.After(d.seen) {
			d.seen = t
		}
	}
	return nil
}
