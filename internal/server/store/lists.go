package store

import (
	"encoding/json"

	"github.com/trusch/jamesd/pkg/james"
)

// maxLists is how many lists are kept: what a fleet has in common, not what each device has
// of its own.
const maxLists = 1024

// appLists decodes devices and desired states. Nearly all that they consist of is a list
// of apps, and many devices have the same: the one that was decoded of the same JSON is
// taken again. Its zero value is ready.
type appLists struct{ known map[string][]james.App }

// sharedApps is a list of apps in a row.
type sharedApps struct {
	lists *appLists
	into  *[]james.App
}

// UnmarshalJSON implements json.Unmarshaler.
func (s sharedApps) UnmarshalJSON(raw []byte) error {
	apps, ok := s.lists.known[string(raw)]
	if !ok {
		if err := json.Unmarshal(raw, &apps); err != nil {
			return err
		}
		s.lists.add(string(raw), apps)
	}
	*s.into = apps
	return nil
}

func (l *appLists) add(raw string, apps []james.App) {
	if l.known == nil {
		l.known = make(map[string][]james.App)
	}
	if len(l.known) < maxLists {
		l.known[raw] = apps
	}
}

func (l *appLists) device(r *Row) (*james.Device, error) {
	var row struct {
		james.Device
		Apps sharedApps `json:"apps"` // goes before that of Device
	}
	row.Apps = sharedApps{l, &row.Device.Apps}
	return &row.Device, decodeInto(&row, r.Table, r.Key, r.JSON)
}

func (l *appLists) desired(r *Row) (*james.Desired, error) {
	var row struct {
		james.Desired
		Apps sharedApps `json:"apps"` // goes before that of Desired
	}
	row.Apps = sharedApps{l, &row.Desired.Apps}
	return &row.Desired, decodeInto(&row, r.Table, r.Key, r.JSON)
}
