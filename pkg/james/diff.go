package james

import (
	"bytes"
	"maps"
	"slices"
)

// Difference says what an upgrade from one packet to another changes, and what that
// costs. It answers GET /v1/packets/{digest}/diff.
type Difference struct {
	Old Packet `json:"old"`
	New Packet `json:"new"`
	// Entries and Scripts are what differs, in order.
	Entries []EntryDifference  `json:"entries"`
	Scripts []ScriptDifference `json:"scripts"`
	Cost    Cost               `json:"cost"`
}

// EntryDifference is an entry that comes where Old is nil, goes where New is nil, and
// otherwise is not as it was.
type EntryDifference struct {
	Path Path   `json:"path"`
	Old  *Entry `json:"old,omitempty"`
	New  *Entry `json:"new,omitempty"`
	// Changed are the names of what is not as it was.
	Changed []Attribute `json:"changed,omitempty"`
	// Way is how the content of New gets to a device that has Old's packet; "" where
	// it has none. A content that is in several files gets there once.
	Way Way `json:"way,omitempty"`
}

// Attribute is something that an entry has.
type Attribute string

// The attributes.
const (
	AttributeType    Attribute = "type"
	AttributeContent Attribute = "content"
	AttributeMode    Attribute = "mode"
	AttributeOwner   Attribute = "owner"
	AttributeTarget  Attribute = "target" // of a link, or the numbers of a device node
	AttributeXattrs  Attribute = "xattrs"
	AttributeTime    Attribute = "time"
)

// Way is how a content gets to a device.
type Way string

// The ways.
const (
	WayReused  Way = "reused"  // the device has it under any path
	WayPatched Way = "patched" // as a patch, which is made
	WayPending Way = "pending" // whole, until the patch is made
	WayWhole   Way = "whole"
)

// ScriptDifference is a script that comes, goes or is not as it was.
type ScriptDifference struct {
	Script ScriptName `json:"script"`
	// Old and New are the sizes in bytes; 0 where there is none.
	Old int `json:"old,omitzero"`
	New int `json:"new,omitzero"`
}

// Cost is what an upgrade costs a device that has nothing else installed.
type Cost struct {
	// The contents of New, each once, by their ways.
	Reused  Contents `json:"reused"`
	Patched Contents `json:"patched"`
	Pending Contents `json:"pending"`
	Whole   Contents `json:"whole"`
	// Wire is the bytes that the device receives, an estimate unless Exact is set.
	Wire  int64 `json:"wire"`
	Exact bool  `json:"exact,omitzero"`
	// Archive is the bytes of New's archive, which takes the place of the contents
	// where the server does not keep them one by one.
	Archive int64 `json:"archive"`
}

// Contents counts contents of files.
type Contents struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"`
}

// Add counts one more.
func (c *Contents) Add(size int64) {
	c.Files++
	c.Bytes += size
}

// DiffEntries returns what differs between the entries of two manifests, by path and
// without ways. That a file has another time counts only where something else
// differs, too: a build sets all of them.
func DiffEntries(old, new []Entry) []EntryDifference {
	out := []EntryDifference{}
	for i, j := 0, 0; i < len(old) || j < len(new); {
		switch {
		case j == len(new) || i < len(old) && old[i].Path < new[j].Path:
			out = append(out, EntryDifference{Path: old[i].Path, Old: &old[i]})
			i++
		case i == len(old) || new[j].Path < old[i].Path:
			out = append(out, EntryDifference{Path: new[j].Path, New: &new[j]})
			j++
		default:
			if changed := changedAttributes(&old[i], &new[j]); len(changed) > 0 {
				out = append(out, EntryDifference{Path: new[j].Path, Old: &old[i], New: &new[j], Changed: changed})
			}
			i, j = i+1, j+1
		}
	}
	return out
}

func changedAttributes(old, new *Entry) (out []Attribute) {
	for _, c := range []struct {
		what Attribute
		is   bool
	}{
		{AttributeType, old.Type != new.Type},
		{AttributeContent, old.Digest != new.Digest || old.Size != new.Size},
		{AttributeMode, old.Mode != new.Mode},
		{AttributeOwner, old.UID != new.UID || old.GID != new.GID || old.User != new.User || old.Group != new.Group},
		{AttributeTarget, old.Target != new.Target || old.Link != new.Link || old.Major != new.Major || old.Minor != new.Minor},
		{AttributeXattrs, !maps.EqualFunc(old.Xattrs, new.Xattrs, bytes.Equal)},
	} {
		if c.is {
			out = append(out, c.what)
		}
	}
	if len(out) > 0 && !old.Time.Equal(new.Time) {
		out = append(out, AttributeTime)
	}
	return out
}

// DiffScripts returns what differs between the scripts of two manifests.
func DiffScripts(old, new *Manifest) []ScriptDifference {
	out := []ScriptDifference{}
	for _, name := range ScriptNames() {
		if before, after := old.Scripts[name], new.Scripts[name]; !slices.Equal(before, after) {
			out = append(out, ScriptDifference{Script: name, Old: len(before), New: len(after)})
		}
	}
	return out
}
