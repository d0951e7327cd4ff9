package txn

import (
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// opKind says what an op does.
type opKind string

const (
	opScript  opKind = "script"  // run a script
	opAway    opKind = "away"    // rename what lies at Path to Name in the work area
	opRmdir   opKind = "rmdir"   // remove the directory at Path if it is empty
	opBarrier opKind = "barrier" // make everything durable until here
	opMkdir   opKind = "mkdir"   // make a directory at Path
	opPlace   opKind = "place"   // rename Name in the work area to Path
	opMeta    opKind = "meta"    // give the directory at Path other metadata
	opTime    opKind = "time"    // set the time of the directory at Path
)

// op is one operation of a transaction. What the journal keeps of it is what
// undoing needs; the rest is only known to the process that does it.
type op struct {
	Kind opKind     `json:"op"`
	Path james.Path `json:"path,omitempty"` // physical
	Area int        `json:"area,omitzero"`  // index of the work area of Path
	Name string     `json:"name,omitempty"` // in the work area
	// Pair, of a place, is the Name of the away of the same path before it, and of
	// a mkdir that of the rmdir.
	Pair string `json:"pair,omitempty"`
	Was  *meta  `json:"was,omitempty"` // of a directory, before
	Step int    `json:"step,omitzero"`
	// Old and Script name a script, of the step's old app or of its new one.
	Old    bool             `json:"old,omitzero"`
	Script james.ScriptName `json:"script,omitempty"`

	seen   disk.Info    // of what goes away, when that was decided
	entry  *james.Entry // that a mkdir, place, meta or time is for; may be nil
	staged *staged      // of a place
	strict bool         // an rmdir that must succeed, as something else comes to the path
}

// meta is a disk.Meta as the journal keeps it.
type meta struct {
	Mode   james.Mode        `json:"mode"`
	UID    uint32            `json:"uid"`
	GID    uint32            `json:"gid"`
	Time   time.Time         `json:"time"`
	Xattrs map[string][]byte `json:"xattrs,omitempty"`
}

func (m *meta) disk() disk.Meta {
	return disk.Meta{Mode: uint32(m.Mode), UID: m.UID, GID: m.GID, Time: m.Time, Xattrs: m.Xattrs}
}

// mirror returns the script that undoes another.
func mirror(s james.ScriptName) james.ScriptName {
	return map[james.ScriptName]james.ScriptName{
		james.Preinst: james.Postrm, james.Postrm: james.Preinst,
		james.Postinst: james.Prerm, james.Prerm: james.Postinst,
	}[s]
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}

// parent returns the directory that holds a physical path.
func parent(path string) string { return string(james.Path(path).Parent()) }

// step is a step of the plan with what is known of its packets.
type step struct {
	Old *side `json:"old,omitempty"`
	New *side `json:"new,omitempty"`
	// Repair says that the step puts some of New's files right, which is installed.
	Repair bool `json:"repair,omitzero"`
	// Purge says that the old app goes with its configuration files.
	Purge bool `json:"purge,omitzero"`
}

// side is one of a step's packets.
type side struct {
	App james.App `json:"app"`
	// Scripts are those that the packet has.
	Scripts map[james.ScriptName]bool `json:"scripts,omitempty"`
	Health  *james.Health             `json:"health,omitempty"`

	m      *james.Manifest
	packet *james.Packet // of a new side
	beside map[james.Path]bool
	staged map[int]*staged // of a new side, by the index of the entry
	by     *claimant       // of a new side, nil until it claims something
}

func (s *side) claimant() *claimant {
	if s.by == nil {
		s.by = &claimant{App: s.App, replaces: s.m.Replaces}
	}
	return s.by
}

func (s *step) app() james.App {
	if s.New != nil {
		return s.New.App
	}
	return s.Old.App
}

func (s *step) name() string { return s.app().Name }

// actionRepair is that of a step of a repair. No script sees it.
const actionRepair james.Action = "repair"

func (s *step) action() james.Action {
	switch {
	case s.Repair:
		return actionRepair
	case s.Old == nil:
		return james.ActionInstall
	case s.New == nil:
		return james.ActionRemove
	}
	return james.ActionUpgrade
}

func (s *step) hasScripts() bool {
	return s.Old != nil && len(s.Old.Scripts) > 0 || s.New != nil && len(s.New.Scripts) > 0
}

func (s *step) side(old bool) *side {
	if old {
		return s.Old
	}
	return s.New
}
