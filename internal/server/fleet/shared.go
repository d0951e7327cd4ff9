package fleet

import (
	"hash/maphash"

	"github.com/trusch/jamesd/pkg/james"
)

// maxShared bounds the lists and the sets that are kept for sharing: a fleet has few
// kinds of device, and where it has not there is nothing to share.
const maxShared = 10_000

// shared holds one copy of what many devices have alike: lists of apps, the tags of
// those, and system tags. Nobody changes what it returns.
type shared struct {
	seed  maphash.Seed
	lists map[uint64][]james.App
	sets  map[uint64]james.TagSet
	names map[string]string
}

func newShared() shared {
	return shared{
		seed:  maphash.MakeSeed(),
		lists: make(map[uint64][]james.App),
		sets:  make(map[uint64]james.TagSet),
		names: make(map[string]string),
	}
}

// list returns a list of the same apps, in the same order.
func (s *shared) list(apps []james.App) []james.App {
	if len(apps) == 0 {
		return apps
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	for i := range apps {
		h.WriteString(apps[i].Name)
		hashTags(&h, apps[i].Tags)
		h.Write(apps[i].Digest[:])
	}
	key := h.Sum64()
	if known, ok := s.lists[key]; ok && sameApps(known, apps) {
		return known
	}
	own := make([]james.App, len(apps))
	for i, app := range apps {
		own[i] = james.App{Name: s.name(app.Name), Tags: s.set(app.Tags), Digest: app.Digest}
	}
	keep(s.lists, key, own)
	return own
}

// set returns the same set.
func (s *shared) set(tags james.TagSet) james.TagSet {
	var h maphash.Hash
	h.SetSeed(s.seed)
	hashTags(&h, tags)
	key := h.Sum64()
	if known, ok := s.sets[key]; ok && known.Equal(tags) {
		return known
	}
	keep(s.sets, key, tags)
	return tags
}

func (s *shared) name(name string) string {
	if known, ok := s.names[name]; ok {
		return known
	}
	keep(s.names, name, name)
	return name
}

// hashTags tells sets apart, and where one ends.
func hashTags(h *maphash.Hash, tags james.TagSet) {
	for t := range tags.All() {
		h.WriteString(string(t))
		h.WriteByte(',')
	}
	h.WriteByte(0)
}

// keep keeps a value in the place of all others where there are too many: most of
// those that are in use come again.
func keep[K comparable, V any](m map[K]V, key K, value V) {
	if len(m) >= maxShared {
		clear(m)
	}
	m[key] = value
}
