package storetest

import (
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// key returns a key whose bytes are all b.
func key(b byte) store.Key {
	return store.Key{Bytes: []byte{b, b, 0, b}, From: at.Add(time.Duration(b) * time.Hour)}
}

// addKey appends a key to a secret.
func addKey(t *testing.T, s store.Store, name string, b byte) uint64 {
	t.Helper()
	_, seq, err := s.Secrets().Update(t.Context(), name, func(old *store.Secret) (*store.Secret, error) {
		if old == nil {
			old = &store.Secret{}
		}
		return &store.Secret{Keys: append(old.Keys, key(b))}, nil
	})
	wantKind(t, "Update of "+name, err, "")
	return seq
}

// wantKeys checks the keys of a secret.
func wantKeys(t *testing.T, s store.Store, name string, want ...store.Key) {
	t.Helper()
	got, err := s.Secrets().Get(t.Context(), name)
	wantKind(t, "Get of "+name, err, "")
	wantSame(t, "keys of "+name, got.Keys, want)
}

// secretLife carries a secret from its creation to its deletion, and over many changes,
// beside rows that have the same key.
func secretLife(t *testing.T, s store.Store) {
	_, err := s.Secrets().Get(t.Context(), "d")
	wantKind(t, "Get of a secret that never was", err, james.KindNotFound)
	put(t, s, "d", 1)
	last := addKey(t, s, "d", 1)
	if seq := addKey(t, s, "d", 2); seq <= last {
		t.Errorf("the sequence number is %d after %d", seq, last)
	}
	addKey(t, s, "other", 3)
	wantKeys(t, s, "d", key(1), key(2))
	wantKeys(t, s, "other", key(3))
	got, err := s.Devices().Get(t.Context(), "d")
	wantKind(t, "Get of the device", err, "")
	wantSame(t, "device", got, device("d", 1))
	mine := james.Errorf(james.KindConflict, "", "it does not suit me")
	_, _, err = s.Secrets().Update(t.Context(), "d", func(*store.Secret) (*store.Secret, error) { return nil, mine })
	wantKind(t, "an Update that is refused", err, james.KindConflict)
	for i := range byte(60) { // beyond what a store may keep of a log
		_, _, err := s.Secrets().Update(t.Context(), "d", func(*store.Secret) (*store.Secret, error) {
			return &store.Secret{Keys: []store.Key{key(i)}}, nil
		})
		wantKind(t, "Update", err, "")
	}
	wantKeys(t, s, "d", key(59))
	wantKeys(t, s, "other", key(3))
	_, _, err = s.Secrets().Update(t.Context(), "d", func(*store.Secret) (*store.Secret, error) { return nil, nil })
	wantKind(t, "the deletion", err, "")
	_, err = s.Secrets().Get(t.Context(), "d")
	wantKind(t, "Get of a deleted secret", err, james.KindNotFound)
}

// secretNoChange has a follower of the changes, who learns no secret.
func secretNoChange(t *testing.T, s store.Store) {
	_, cursor := changes(t, s, store.Cursor{})
	addKey(t, s, "s", 1)
	if some, _ := changes(t, s, cursor); len(some) != 0 {
		t.Errorf("a secret makes changes: %v", some)
	}
	put(t, s, "d", 1)
	addKey(t, s, "s", 2)
	if some, _ := changes(t, s, cursor); len(some) != 1 {
		t.Errorf("beside a device there are the changes %v", some)
	}
	if all, _ := changes(t, s, store.Cursor{}); len(all) != 1 {
		t.Errorf("from the beginning there are %v", all)
	}
}

// sharedSecrets has two servers add keys to a secret.
func sharedSecrets(t *testing.T, open func() store.Store) {
	a, b := open(), open()
	addKey(t, a, "s", 1)
	addKey(t, b, "s", 2)
	addKey(t, a, "s", 3)
	for _, s := range []store.Store{a, b} {
		wantKeys(t, s, "s", key(1), key(2), key(3))
	}
}

// reopenSecrets has a secret outlive the process.
func reopenSecrets(t *testing.T, open func() store.Store) {
	s := open()
	for i := range byte(4) {
		last := addKey(t, s, "s", i)
		wantKind(t, "Close", s.Close(), "")
		s = open()
		if _, seq, err := s.Secrets().Update(t.Context(), "s", func(old *store.Secret) (*store.Secret, error) { return old, nil }); err != nil || seq != last {
			t.Errorf("the sequence number is %d after %d: %v", seq, last, err)
		}
	}
	wantKeys(t, s, "s", key(0), key(1), key(2), key(3))
	wantKind(t, "Close", s.Close(), "")
}
