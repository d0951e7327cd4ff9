package disktest

import "maps"

// event is what an operation did, or something else between two operations. Every
// event is one that a power cut can lose by itself.
type event struct {
	kind eventKind
	op   int  // the operation, from 1
	by   bool // by something else, before the operation
	node int  // of set, data and fsync: what was changed or synced

	// move: the name of a node moved from one place to another, or came, or went.
	// What has the name there goes.
	link     int
	from, to place

	field field // set
	patch patch // data

	dev uint64 // syncfs
}

type eventKind int

const (
	eventMove eventKind = iota
	eventSet
	eventData
	eventFsync
	eventSyncfs
)

// place is a name in a directory. The zero place is nowhere.
type place struct {
	dir  int
	name string
}

// field is one part of a node's metadata.
type field struct {
	name  string // "mode", "owner", "time", or that of an extended attribute after "xattr "
	a, b  int64
	value string
	gone  bool // of an extended attribute
}

const xattrField = "xattr "

// changes returns the fields in which two metadata differ.
func (a attrs) changes(to attrs) []field {
	var all []field
	if a.uid != to.uid || a.gid != to.gid {
		all = append(all, field{name: "owner", a: int64(to.uid), b: int64(to.gid)})
	}
	if a.mode != to.mode {
		all = append(all, field{name: "mode", a: int64(to.mode)})
	}
	for name, value := range to.xattrs {
		if was, ok := a.xattrs[name]; !ok || was != value {
			all = append(all, field{name: xattrField + name, value: value})
		}
	}
	for name := range a.xattrs {
		if _, ok := to.xattrs[name]; !ok {
			all = append(all, field{name: xattrField + name, gone: true})
		}
	}
	if a.time != to.time {
		all = append(all, field{name: "time", a: to.time})
	}
	return all
}

// set returns the metadata with the field changed.
func (a attrs) set(f field) attrs {
	switch f.name {
	case "owner":
		a.uid, a.gid = uint32(f.a), uint32(f.b)
	case "mode":
		a.mode = uint32(f.a)
	case "time":
		a.time = f.a
	default:
		all := maps.Clone(a.xattrs)
		if all == nil {
			all = map[string]string{}
		}
		name := f.name[len(xattrField):]
		if all[name] = f.value; f.gone {
			delete(all, name)
		}
		a.xattrs = all
	}
	return a
}

// patch is a change of what a file holds: bytes written at an offset, and the
// length afterwards.
type patch struct {
	at     int
	bytes  []byte
	size   int
	before *content
	after  *content // where nothing before it was lost
}

// newPatch returns what makes after of before.
func newPatch(before, after *content) patch {
	same := 0
	for same < min(len(before.bytes), len(after.bytes)) && before.bytes[same] == after.bytes[same] {
		same++
	}
	return patch{same, after.bytes[same:], len(after.bytes), before, after}
}

// apply returns the content with the patch. What was lost in between is zeros.
func (p patch) apply(c *content) *content {
	if c == p.before {
		return p.after
	}
	b := make([]byte, p.size)
	copy(b, c.bytes)
	copy(b[p.at:], p.bytes)
	return newContent(b, p.after.sparse)
}
