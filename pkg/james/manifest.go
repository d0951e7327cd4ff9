package james

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a manifest. MaxEntries and MaxManifest bound what a device must
// hold in memory to install a packet.
const (
	MaxEntries   = 250_000
	MaxManifest  = 64 << 20 // bytes, encoded
	MaxScript    = 1 << 20  // bytes of one script
	MaxXattr     = 64 << 10 // bytes of one value, as Linux has it (linux/limits.h XATTR_SIZE_MAX)
	MaxXattrName = 255      // bytes of a name, likewise (XATTR_NAME_MAX)
	MaxReplaces  = 64       // names that a packet replaces
)

// EntryType says what an Entry is.
type EntryType string

// The types of entry. Fifo, Char and Block are in a packet only where the
// server was told to allow them.
const (
	TypeFile     EntryType = "file"
	TypeDir      EntryType = "dir"
	TypeSymlink  EntryType = "symlink"
	TypeHardlink EntryType = "hardlink"
	TypeFifo     EntryType = "fifo"
	TypeChar     EntryType = "char"
	TypeBlock    EntryType = "block"
)

// Mode is the permission bits of a file with setuid (04000), setgid (02000) and
// sticky (01000), as chmod(2) takes them. Its text form is octal: "0755".
type Mode uint32

// MarshalText encodes m as four octal digits.
func (m Mode) MarshalText() ([]byte, error) { return fmt.Appendf(nil, "%04o", uint32(m)), nil }

// UnmarshalText decodes octal digits; bits beyond 07777 are refused.
func (m *Mode) UnmarshalText(b []byte) error {
	v, err := strconv.ParseUint(string(b), 8, 32)
	if err != nil || v > 0o7777 {
		return Errorf(KindInvalid, "mode", "%q is not an octal number up to 7777", b)
	}
	*m = Mode(v)
	return nil
}

// DataUnit is the size of the pieces in which a sparse file is written or left
// out, in bytes.
const DataUnit = 4096

// Entry is one file, directory or link of a packet.
type Entry struct {
	Path Path      `json:"path"`
	Type EntryType `json:"type"`
	// Mode, owner, time and xattrs are not set on a hard link: it has those of
	// the file that it names. A symbolic link has no mode.
	Mode Mode `json:"mode,omitzero"`
	// UID and GID are the numbers of the archive, User and Group its names. A
	// device uses the name where it knows it and the number otherwise, as tar
	// and dpkg do.
	UID   uint32    `json:"uid,omitzero"`
	GID   uint32    `json:"gid,omitzero"`
	User  string    `json:"user,omitzero"`
	Group string    `json:"group,omitzero"`
	Time  time.Time `json:"time,omitzero"` // of last modification, UTC
	// Size in bytes and Digest of the content; files only.
	Size   int64  `json:"size,omitzero"`
	Digest Digest `json:"digest,omitzero"`
	// Sparse files are written with holes where they hold zeros. Data is how much
	// of one is not in holes, in bytes: the number of its pieces of DataUnit bytes
	// that are not all zeros, times DataUnit.
	Sparse bool  `json:"sparse,omitzero"`
	Data   int64 `json:"data,omitzero"`
	// Target is what a symbolic link holds. Link is the regular file of the same
	// manifest that a hard link is another name of.
	Target Target `json:"target,omitzero"`
	Link   Path   `json:"link,omitzero"`
	// Major and Minor number a device node.
	Major uint32 `json:"major,omitzero"`
	Minor uint32 `json:"minor,omitzero"`
	// Xattrs are the extended attributes, among them file capabilities
	// (security.capability).
	Xattrs map[string][]byte `json:"xattrs,omitzero"`
}

// ScriptName names one of a packet's scripts.
type ScriptName string

// The scripts, in the order in which an install and then a removal calls them.
// HealthCheck is the packet's check, see Health.
const (
	Preinst     ScriptName = "preinst"
	Postinst    ScriptName = "postinst"
	HealthCheck ScriptName = "health"
	Prerm       ScriptName = "prerm"
	Postrm      ScriptName = "postrm"
)

// ScriptNames returns all script names in their order.
func ScriptNames() []ScriptName {
	return []ScriptName{Preinst, Postinst, HealthCheck, Prerm, Postrm}
}

// Health says how the script "health" of a packet is run: when all steps of a
// plan are done, before the transaction is committed. It has failed when its last
// try has, and then the transaction is undone.
type Health struct {
	// Timeout is how long one try may take, in whole seconds up to MaxHealthTimeout;
	// 0 means DefaultHealthTimeout.
	Timeout int `json:"timeout,omitzero" yaml:"timeout,omitempty"`
	// Retries is how often it is tried again after a failure, up to
	// MaxHealthRetries.
	Retries int `json:"retries,omitzero" yaml:"retries,omitempty"`
	// Interval is the time between a failed try and the next, in whole seconds up
	// to MaxHealthInterval; 0 means DefaultHealthInterval.
	Interval int `json:"interval,omitzero" yaml:"interval,omitempty"`
}

// Defaults and limits of Health.
const (
	DefaultHealthTimeout  = time.Minute
	DefaultHealthInterval = 5 * time.Second
	MaxHealthTimeout      = time.Hour
	MaxHealthRetries      = 100
	MaxHealthInterval     = 10 * time.Minute
)

// Limits returns how long a try may take, how often a failed one is tried again
// and the time between two, with the defaults where h, or one of them, is not set.
func (h *Health) Limits() (timeout time.Duration, retries int, interval time.Duration) {
	timeout, interval = DefaultHealthTimeout, DefaultHealthInterval
	if h == nil {
		return timeout, 0, interval
	}
	if h.Timeout > 0 {
		timeout = time.Duration(h.Timeout) * time.Second
	}
	if h.Interval > 0 {
		interval = time.Duration(h.Interval) * time.Second
	}
	return timeout, h.Retries, interval
}

func (h *Health) validate() error {
	for _, v := range []struct {
		name       string
		value, max int
	}{
		{"timeout", h.Timeout, int(MaxHealthTimeout / time.Second)},
		{"retries", h.Retries, MaxHealthRetries},
		{"interval", h.Interval, int(MaxHealthInterval / time.Second)},
	} {
		if v.value < 0 || v.value > v.max {
			return Errorf(KindInvalid, "health check", "its %s is %d, 0 to %d are allowed", v.name, v.value, v.max)
		}
	}
	return nil
}

// Manifest is the list of what a packet holds. Its encoding is canonical, so
// its digest identifies the packet, and who has a manifest of the right digest
// can trust every entry and script in it.
type Manifest struct {
	Name string `json:"name"`
	Tags TagSet `json:"tags"`
	// Replaces are the names of packets that this one may take files over from,
	// sorted and unique. What it takes over belongs to it from then on.
	Replaces []string              `json:"replaces,omitempty"`
	Scripts  map[ScriptName][]byte `json:"scripts,omitzero"`
	// Health belongs to the script "health"; nil means the defaults.
	Health *Health `json:"health,omitempty"`
	// Entries are sorted by path and unique. A directory that is not listed is
	// made as needed, 0755 and owned by root.
	Entries []Entry `json:"entries"`
}

// Encode returns the canonical encoding and its digest, which is the packet's.
// It fails with KindInvalid where Validate does.
func (m *Manifest) Encode() ([]byte, Digest, error) {
	if err := m.Validate(); err != nil {
		return nil, Digest{}, err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(m); err != nil {
		return nil, Digest{}, Errorf(KindInvalid, "manifest of "+m.Name, "cannot be encoded: %w", err)
	}
	if buf.Len() > MaxManifest {
		return nil, Digest{}, Errorf(KindInvalid, "manifest of "+m.Name, "has %d bytes, the limit is %d", buf.Len(), MaxManifest)
	}
	return buf.Bytes(), DigestOf(buf.Bytes()), nil
}

// DecodeManifest reads a manifest to the end of r. It fails with KindCorrupt
// when the bytes do not have the digest want or are not a valid manifest.
func DecodeManifest(r io.Reader, want Digest) (*Manifest, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxManifest+1))
	if err != nil {
		return nil, err
	}
	subject := "manifest " + want.Short()
	if got := DigestOf(raw); got != want {
		return nil, Errorf(KindCorrupt, subject, "has digest %s", got.Short())
	}
	var m Manifest
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&m); err != nil {
		return nil, &Error{Kind: KindCorrupt, Subject: subject, Err: err}
	}
	if err := m.Validate(); err != nil {
		return nil, &Error{Kind: KindCorrupt, Subject: subject, Err: err}
	}
	return &m, nil
}

// Entry returns the entry at p, if there is one.
func (m *Manifest) Entry(p Path) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(m.Entries, p, func(e Entry, p Path) int { return cmp.Compare(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return m.Entries[i], true
}

// Size returns the sum of the sizes of the files, in bytes.
func (m *Manifest) Size() int64 {
	var n int64
	for _, e := range m.Entries {
		n += e.Size
	}
	return n
}

// Validate returns an error of KindInvalid that names the first thing in m that
// a manifest must not have: a malformed name, too many or unsorted or duplicate
// entries, an entry whose fields do not go with its type, an entry below
// something that is not a directory, a hard link that names no file of m, an
// unknown, empty or too large script, limits of a health check out of their
// bounds or without one, or names to replace that are malformed, unsorted or its
// own.
func (m *Manifest) Validate() error {
	if err := CheckName(m.Name); err != nil {
		return err
	}
	for name, body := range m.Scripts {
		if !slices.Contains(ScriptNames(), name) {
			return Errorf(KindInvalid, "script", "%q is none of %s", name, joinScripts())
		}
		if len(body) == 0 || len(body) > MaxScript {
			return Errorf(KindInvalid, "script "+string(name), "has %d bytes, 1 to %d are allowed", len(body), MaxScript)
		}
	}
	if err := m.checkHealth(); err != nil {
		return err
	}
	if err := m.checkReplaces(); err != nil {
		return err
	}
	if len(m.Entries) > MaxEntries {
		return Errorf(KindInvalid, m.Name, "has %d entries, the limit is %d", len(m.Entries), MaxEntries)
	}
	for i := 1; i < len(m.Entries); i++ { // first, as Entry relies on it
		if m.Entries[i-1].Path >= m.Entries[i].Path {
			return Errorf(KindInvalid, m.Entries[i].Path.String(), "is listed twice or out of order")
		}
	}
	above := make(map[Path]bool, len(m.Entries)/8)
	for i := range m.Entries {
		e := &m.Entries[i]
		if err := m.checkAbove(e, above); err != nil {
			return err
		}
		if err := m.checkEntry(e); err != nil {
			return err
		}
	}
	return nil
}

// checkAbove returns an error where an entry lies below something that is not a
// directory. above are the paths that are known to be none of that.
func (m *Manifest) checkAbove(e *Entry, above map[Path]bool) error {
	for dir := e.Path.Parent(); dir != "." && !above[dir]; dir = dir.Parent() {
		if parent, ok := m.Entry(dir); ok && parent.Type != TypeDir {
			return Errorf(KindInvalid, e.Path.String(), "lies below %s, which is a %s", dir, parent.Type)
		}
		above[dir] = true
	}
	return nil
}

func joinScripts() string {
	var names []string
	for _, s := range ScriptNames() {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

func (m *Manifest) checkHealth() error {
	if m.Health == nil {
		return nil
	}
	if len(m.Scripts[HealthCheck]) == 0 {
		return Errorf(KindInvalid, "health check", "has limits and no script")
	}
	return m.Health.validate()
}

func (m *Manifest) checkReplaces() error {
	if len(m.Replaces) > MaxReplaces {
		return Errorf(KindInvalid, m.Name, "replaces %d packets, the limit is %d", len(m.Replaces), MaxReplaces)
	}
	for i, name := range m.Replaces {
		if err := CheckName(name); err != nil {
			return err
		}
		switch {
		case name == m.Name:
			return Errorf(KindInvalid, m.Name, "replaces itself")
		case i > 0 && m.Replaces[i-1] >= name:
			return Errorf(KindInvalid, m.Name, "%s is among what it replaces twice or out of order", name)
		}
	}
	return nil
}

func (m *Manifest) checkEntry(e *Entry) error {
	fail := func(format string, args ...any) error { return Errorf(KindInvalid, e.Path.String(), format, args...) }
	if p, err := ParsePath(string(e.Path)); err != nil || p != e.Path {
		return fail("is not a canonical path")
	}
	if e.Path == "." && e.Type != TypeDir {
		return fail("is the install root and must be a directory")
	}
	isFile, isNode := e.Type == TypeFile, e.Type == TypeChar || e.Type == TypeBlock
	switch {
	case e.Size < 0:
		return fail("has a negative size")
	case e.Data < 0 || e.Data%DataUnit != 0 || e.Data > 0 && (!e.Sparse || e.Data-DataUnit >= e.Size):
		return fail("has %d bytes of data in %d", e.Data, e.Size)
	case !isFile && (e.Size != 0 || !e.Digest.IsZero() || e.Sparse):
		return fail("is a %s with content", e.Type)
	case isFile && e.Digest.IsZero():
		return fail("is a file without a digest")
	case (e.Type == TypeSymlink) != (e.Target != ""):
		return fail("is a %s with the link target %q", e.Type, e.Target)
	case (e.Type == TypeHardlink) != (e.Link != ""):
		return fail("is a %s that links to %q", e.Type, e.Link)
	case !isNode && (e.Major != 0 || e.Minor != 0):
		return fail("is a %s with a device number", e.Type)
	case e.Time.Year() < 0 || e.Time.Year() > 9999:
		return fail("was modified in the year %d", e.Time.Year())
	}
	for k, v := range e.Xattrs {
		if k == "" || len(k) > MaxXattrName || len(v) > MaxXattr {
			return fail("has the extended attribute %.60q of %d bytes, the limit is %d", k, len(v), MaxXattr)
		}
	}
	switch e.Type {
	case TypeFile, TypeDir, TypeSymlink, TypeFifo, TypeChar, TypeBlock:
		return nil
	case TypeHardlink:
		if to, ok := m.Entry(e.Link); !ok || to.Type != TypeFile {
			return fail("is a hard link to %s, which is no file of the packet", e.Link)
		}
		return nil
	}
	return fail("has the unknown type %q", e.Type)
}
