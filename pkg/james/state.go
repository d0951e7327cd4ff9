package james

import (
	"slices"
	"time"
)

// State is the founding document's description of a device: what get-state
// prints and set-desired-state reads. The tags of its apps leave out the system
// tags.
type State struct {
	ID         string `json:"id" yaml:"id"`
	SystemTags TagSet `json:"systemtags" yaml:"systemtags"`
	Apps       []App  `json:"apps" yaml:"apps"`
	// Purge are the names of apps that, where they are installed, are to be
	// uninstalled with their configuration files. Only a desired state has them.
	Purge []string `json:"purge,omitempty" yaml:"purge,omitempty"`
	// Schedule is when it may become so. Only a desired state has one.
	Schedule `yaml:",inline"`
}

// Validate returns an error of KindInvalid for a malformed device id or app
// name, more than MaxApps apps, two apps of one name (a device has at most one
// packet of a name), or a name to purge that is malformed, there twice, or that
// of an app.
func (s *State) Validate() error {
	if err := CheckDeviceID(s.ID); err != nil {
		return err
	}
	if err := CheckApps(s.Apps); err != nil {
		return err
	}
	return s.checkPurge()
}

func (s *State) checkPurge() error {
	if len(s.Purge) > MaxApps {
		return Errorf(KindInvalid, "purge", "there are %d names, the limit is %d", len(s.Purge), MaxApps)
	}
	for i, name := range s.Purge {
		if err := CheckName(name); err != nil {
			return err
		}
		if slices.Contains(s.Purge[:i], name) {
			return Errorf(KindInvalid, "purge", "%s is listed twice", name)
		}
		if slices.ContainsFunc(s.Apps, func(a App) bool { return a.Name == name }) {
			return Errorf(KindInvalid, "purge", "%s is wanted too; only what is not wanted can be purged", name)
		}
	}
	return nil
}

// CheckApps returns what Validate returns for a list of apps.
func CheckApps(apps []App) error {
	if len(apps) > MaxApps {
		return Errorf(KindInvalid, "apps", "there are %d, the limit is %d", len(apps), MaxApps)
	}
	seen := make(map[string]bool, len(apps))
	for _, a := range apps {
		if err := CheckName(a.Name); err != nil {
			return err
		}
		if seen[a.Name] {
			return Errorf(KindInvalid, "app "+a.Name, "is listed twice; a device has one packet of a name")
		}
		seen[a.Name] = true
	}
	return nil
}

// Desired is the desired state of one device.
type Desired struct {
	Device string `json:"device"`
	// Revision grows with each change of this device's desired state, by 1.
	Revision uint64 `json:"revision"`
	Apps     []App  `json:"apps"`
	// Purge is as in State.
	Purge []string `json:"purge,omitempty"`
	Schedule
	SetAt time.Time `json:"set_at"`
	SetBy string    `json:"set_by,omitempty"` // common name of the admin
	// Unset marks a desired state that was deleted: the device is left alone as
	// if it never had one, but the revision goes on growing.
	Unset bool `json:"unset,omitzero"`
	// History holds the states before this one, newest first, at most
	// MaxHistory of them, each without a history of its own.
	History []Desired `json:"history,omitempty"`
}

// MaxHistory is the number of former desired states that are kept of a device.
const MaxHistory = 20

// Next returns the desired state that follows d, which may be nil, with apps as
// its content and d in its history.
func (d *Desired) Next(device string, apps []App, by string, at time.Time) *Desired {
	next := &Desired{Device: device, Revision: 1, Apps: apps, SetAt: at, SetBy: by}
	if d == nil {
		return next
	}
	former := *d
	former.History = nil
	next.Revision = d.Revision + 1
	next.History = slices.Concat([]Desired{former}, d.History)
	next.History = next.History[:min(len(next.History), MaxHistory)]
	return next
}

// Device is what a device last reported of itself.
type Device struct {
	ID         string `json:"id"`
	SystemTags TagSet `json:"systemtags"`
	// Apps are the installed packets, with all their tags.
	Apps []App `json:"apps"`
	// Revision is that of the desired state it last applied, 0 for none.
	Revision  uint64    `json:"revision"`
	Agent     string    `json:"agent,omitempty"` // version of its jamesc
	Drift     *Drift    `json:"drift,omitempty"` // as it reported last; nil where there is none
	Waiting   *Waiting  `json:"waiting,omitempty"`
	FirstSeen time.Time `json:"first_seen"`
	// Report is the result of its last transaction, if it had one.
	Report *Report `json:"report,omitempty"`
}

// State returns the device's reported state: its apps' tags without the system
// tags.
func (d *Device) State() State {
	s := State{ID: d.ID, SystemTags: d.SystemTags, Apps: make([]App, len(d.Apps))}
	for i, a := range d.Apps {
		s.Apps[i] = App{Name: a.Name, Tags: a.Tags.Minus(d.SystemTags), Digest: a.Digest}
	}
	return s
}

// DeviceStatus is a device as an operator sees it.
type DeviceStatus struct {
	Device
	LastSeen time.Time `json:"last_seen,omitzero"`
	// Desired is the revision of the desired state, 0 where there is none.
	Desired uint64 `json:"desired"`
	// InSync says that the device has what its desired state resolves to. A
	// device without a desired state is in sync.
	InSync bool `json:"in_sync"`
	// Condition says in a word how it stands.
	Condition Condition `json:"condition"`
	// Reason says in a sentence why it is not.
	Reason string `json:"reason,omitempty"`
	// Problems are the apps that cannot be resolved.
	Problems []Problem `json:"problems,omitempty"`
	// Progress is what the device told last of the plan that it is at; nil where it
	// has not told this jamesd anything, or not for a while.
	Progress *Progress `json:"progress,omitempty"`
}
