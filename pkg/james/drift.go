package james

// Drift is what of the installed packets' files is not as the packets have it:
// edited by an administrator, removed, or damaged.
type Drift struct {
	// Count is the number of changes, those that Changes leaves out included.
	Count int `json:"count"`
	// Changes are sorted by app and path, at most MaxDrift of them.
	Changes []Change `json:"changes"`
}

// MaxDrift is the number of changes that a device names.
const MaxDrift = 50

// Change is one path that is not as its packet has it.
type Change struct {
	App  string     `json:"app"`
	Path Path       `json:"path"`
	Kind ChangeKind `json:"kind"`
}

// ChangeKind says how a path differs. Kinds are only ever added to.
type ChangeKind string

// The kinds of change. Times of modification do not count. Where several apply,
// the first of this list is told.
const (
	ChangedConfig   ChangeKind = "config"   // a configuration file that was edited or deleted, which is nobody's fault
	ChangedMissing  ChangeKind = "missing"  // nothing lies there
	ChangedType     ChangeKind = "type"     // a file where a directory should be, or the like
	ChangedContent  ChangeKind = "content"  // of a file, or the target of a link
	ChangedLink     ChangeKind = "link"     // a hard link that is a file of its own
	ChangedMode     ChangeKind = "mode"     // permission bits
	ChangedOwner    ChangeKind = "owner"    // user or group
	ChangedXattrs   ChangeKind = "xattrs"   // extended attributes, file capabilities among them
	ChangedManifest ChangeKind = "manifest" // the device's list of what the packet holds; Path is "."
)
