package txn

import (
	"maps"
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
	maps.DeleteFunc(i.outlines, func(d james.Digest, _ outline) bool { return !digests[d] })
}
