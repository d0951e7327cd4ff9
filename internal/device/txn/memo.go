package txn

import (
	"maps"
	"sync"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// memo is what a verification remembers of an app for the next quick one.
type memo struct {
	digest james.Digest
	since  time.Time
	// content and capable are the entries, by index, that have other content, or
	// capabilities that they should not have.
	content, capable map[int]bool
}

// clockSlack is how much the clock of file systems may be behind.
const clockSlack = time.Second

// guess returns whether a file of the right size has other content, where that is
// known without reading it.
func (v *appVerifier) guess(k int, e *james.Entry, info disk.Info) (changed, sure bool) {
	switch {
	case v.touched(info):
		return false, false
	case v.memo == nil:
		return false, sameTime(info.Time, e.Time)
	}
	return v.memo.content[k], true
}

// touched reports whether the inode may have changed since the app was verified,
// or where it was not yet, since the last transaction.
func (v *appVerifier) touched(info disk.Info) bool {
	since := v.committed
	if v.memo != nil {
		since = v.memo.since.Add(-clockSlack)
	}
	return !info.Changed.Before(since)
}

// sameTime compares a file's time with the one that it was given, which a file
// system may keep in whole seconds.
func sameTime(have, given time.Time) bool {
	return have.Equal(given) || have.Nanosecond() == 0 && have.Unix() == given.Unix()
}

// memoOf returns what is remembered of an app, nil for nothing; a clock that went
// back makes it useless.
func (i *Installer) memoOf(a james.App, now time.Time) *memo {
	m := i.memos[a.Name]
	if m == nil || m.digest != a.Digest || now.Before(m.since) {
		return nil
	}
	return m
}

// forgetOthers drops what is remembered of apps that are not installed any more.
func (i *Installer) forgetOthers(inv *inventory) {
	digests := map[james.Digest]bool{}
	for _, a := range inv.Apps {
		digests[a.Digest] = true
	}
	maps.DeleteFunc(i.memos, func(_ string, m *memo) bool { return !digests[m.digest] })
	i.outlines.keep(digests)
}

// outlines are those of manifests that were read. They are safe for concurrent use: a
// transaction may be at work beside a verification.
type outlines struct {
	mu    sync.Mutex
	known map[james.Digest]outline
}

// outline is what of a manifest is needed before it is gone through.
type outline struct {
	size     int64
	replaces []string
}

func (o *outlines) get(d james.Digest) (outline, bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	known, ok := o.known[d]
	return known, ok
}

// note returns the outline of the manifest with that digest, and remembers it.
func (o *outlines) note(d james.Digest, m *james.Manifest) outline {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known[d] = outline{m.Size(), m.Replaces}
	return o.known[d]
}

func (o *outlines) keep(these map[james.Digest]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	maps.DeleteFunc(o.known, func(d james.Digest, _ outline) bool { return !these[d] })
}
