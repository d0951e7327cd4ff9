package james

import (
	"cmp"
	"fmt"
	"slices"
)

// Drift is what of the installed packets' files is not as the packets have it:
// edited by an administrator, removed, or damaged.
type Drift struct {
	// Count is the number of changes, those that Changes leaves out included.
	Count int `json:"count"`
	// Damaged is the number of those that are not of configuration.
	Damaged int `json:"damaged,omitzero"`
	// Changes are sorted by app and path, at most MaxDrift of them.
	Changes []Change `json:"changes"`
}

// NewDrift returns the drift that is made of these changes, nil where there are
// none. It sorts them.
func NewDrift(changes []Change) *Drift {
	if len(changes) == 0 {
		return nil
	}
	slices.SortFunc(changes, func(a, b Change) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Path, b.Path))
	})
	d := &Drift{Count: len(changes)}
	for _, c := range changes {
		if c.Kind != ChangedConfig {
			d.Damaged++
		}
	}
	d.Changes = slices.Clone(changes[:min(len(changes), MaxDrift)])
	return d
}

// Equal reports whether both say the same; nil is no drift.
func (d *Drift) Equal(other *Drift) bool {
	if d == nil || other == nil {
		return d == other
	}
	return d.Count == other.Count && d.Damaged == other.Damaged && slices.Equal(d.Changes, other.Changes)
}

// Validate returns an error of KindInvalid for numbers that do not go together,
// more than MaxDrift changes, or a change with a malformed app or kind. Kinds that
// are not known are those of a newer device.
func (d *Drift) Validate() error {
	if len(d.Changes) > MaxDrift || d.Count < max(1, len(d.Changes)) || d.Damaged < 0 || d.Damaged > d.Count {
		return Errorf(KindInvalid, "drift", "has %d changes of %d, %d of them damage, and at most %d are named", len(d.Changes), d.Count, d.Damaged, MaxDrift)
	}
	for _, c := range d.Changes {
		if err := CheckName(c.App); err != nil {
			return err
		}
		if !isWord(string(c.Kind)) {
			return Errorf(KindInvalid, "drift", "%.40q is no kind of change", c.Kind)
		}
	}
	return nil
}

// String says in a few words what has changed, what is damaged first.
func (d *Drift) String() string {
	if d == nil {
		return "nothing has changed"
	}
	first := d.Changes
	if d.Damaged > 0 {
		first = slices.DeleteFunc(slices.Clone(first), func(c Change) bool { return c.Kind == ChangedConfig })
	}
	text := fmt.Sprintf("%d of %d changed files are damaged", d.Damaged, d.Count)
	switch {
	case d.Damaged == 0 && d.Count == 1:
		text = "a configuration file was edited"
	case d.Damaged == 0:
		text = fmt.Sprintf("%d configuration files were edited", d.Count)
	case d.Count == 1:
		text = "a file is damaged"
	case d.Damaged == d.Count:
		text = fmt.Sprintf("%d files are damaged", d.Count)
	}
	if len(first) > 0 {
		text += ": " + first[0].String()
	}
	return text
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
	ChangedConfig   ChangeKind = "config"   // a configuration file that was edited, deleted or given to others, which is nobody's fault
	ChangedMissing  ChangeKind = "missing"  // nothing lies there
	ChangedType     ChangeKind = "type"     // a file where a directory should be, or the like
	ChangedContent  ChangeKind = "content"  // of a file, or the target of a link
	ChangedLink     ChangeKind = "link"     // a hard link that is a file of its own
	ChangedMode     ChangeKind = "mode"     // permission bits
	ChangedOwner    ChangeKind = "owner"    // user or group
	ChangedXattrs   ChangeKind = "xattrs"   // extended attributes, file capabilities among them
	ChangedManifest ChangeKind = "manifest" // the device's list of what the packet holds; Path is "."
)

// String names the path and says what the change means.
func (c Change) String() string {
	what := c.Path.String()
	if c.Kind == ChangedManifest {
		what = "the manifest"
	}
	return fmt.Sprintf("%s of %s %s", what, c.App, c.Kind.Meaning())
}

// Meaning says what the kind means of a path, as the predicate of a sentence.
func (k ChangeKind) Meaning() string {
	switch k {
	case ChangedConfig:
		return "was edited here, and stays so"
	case ChangedMissing:
		return "is missing"
	case ChangedType:
		return "is a thing of another type"
	case ChangedContent:
		return "has other content"
	case ChangedLink:
		return "is a file of its own instead of a hard link"
	case ChangedMode:
		return "has other permissions"
	case ChangedOwner:
		return "has another owner"
	case ChangedXattrs:
		return "has other extended attributes"
	case ChangedManifest:
		return "is damaged or missing"
	}
	return "is not as it should be"
}
