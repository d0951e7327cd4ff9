package james

import "encoding/json"

// Action is what a Step does; it is also the first argument of the scripts.
type Action string

// The actions. Restore is what scripts are told while a step is undone; no plan
// contains it.
const (
	ActionInstall Action = "install"
	ActionUpgrade Action = "upgrade"
	ActionRemove  Action = "remove"
	ActionRestore Action = "restore"
)

// Step changes one app of a device: New comes where Old is nil, Old goes where
// New is nil, and otherwise New replaces Old.
type Step struct {
	Old *App    `json:"uninstall,omitempty"`
	New *Packet `json:"install,omitempty"`
	// Purge says that an app that goes is to go with its configuration files, also
	// those that were edited. It is set only where New is nil.
	Purge bool `json:"purge,omitzero"`
}

// Name returns the name of the app that the step changes.
func (s *Step) Name() string {
	if s.New != nil {
		return s.New.Name
	}
	return s.Old.Name
}

// Action returns ActionInstall, ActionUpgrade or ActionRemove.
func (s *Step) Action() Action {
	switch {
	case s.Old == nil:
		return ActionInstall
	case s.New == nil:
		return ActionRemove
	}
	return ActionUpgrade
}

// Plan is what a device has to do to get into its desired state, in order. It is
// carried out as one transaction.
type Plan struct {
	// ID is the digest of the steps and problems: two plans of the same ID do
	// the same, whatever their revision.
	ID       Digest    `json:"id"`
	Revision uint64    `json:"revision"`
	Steps    []Step    `json:"steps,omitempty"`
	Problems []Problem `json:"problems,omitempty"`
	// Schedule is the desired state's.
	Schedule
}

// NewPlan returns the plan of the given parts with its ID.
func NewPlan(revision uint64, steps []Step, problems []Problem) Plan {
	p := Plan{Revision: revision, Steps: steps, Problems: problems}
	if p.Empty() {
		return p
	}
	type key struct {
		Old, New Digest
		Name     string
		Purge    bool `json:",omitzero"`
	}
	var keys []key
	for _, s := range steps {
		k := key{Name: s.Name(), Purge: s.Purge}
		if s.Old != nil {
			k.Old = s.Old.Digest
		}
		if s.New != nil {
			k.New = s.New.Digest
		}
		keys = append(keys, k)
	}
	raw, err := json.Marshal([]any{keys, problems})
	if err != nil {
		panic(err) // strings and digests only
	}
	p.ID = DigestOf(raw)
	return p
}

// Empty reports whether there is nothing to do and nothing wrong; such a plan
// has no ID.
func (p *Plan) Empty() bool { return len(p.Steps) == 0 && len(p.Problems) == 0 }

// ProblemKind says why an app of a desired state has no packet.
type ProblemKind string

// The kinds of problem.
const (
	Unresolved ProblemKind = "unresolved" // no packet fits
	Ambiguous  ProblemKind = "ambiguous"  // several packets fit equally well
)

// Problem is an app of a desired state that cannot be resolved. The device
// keeps what it has of that name.
type Problem struct {
	App    App         `json:"app"`
	Kind   ProblemKind `json:"kind"`
	Detail string      `json:"detail"` // a sentence
}

// Candidate is a packet that was considered for an app.
type Candidate struct {
	Packet Packet `json:"packet"`
	// Missing are the packet's tags that neither the app nor the device has; a
	// packet fits where there are none.
	Missing TagSet `json:"missing,omitzero"`
	// AppTags counts the app's tags that the packet has.
	AppTags int `json:"app_tags"`
	// Chosen marks the packet that the app resolves to.
	Chosen bool `json:"chosen,omitzero"`
}

// Explanation says how one app of a device resolves.
type Explanation struct {
	App App `json:"app"`
	// Candidates are all packets of the app's name, best first.
	Candidates []Candidate `json:"candidates"`
	Problem    *Problem    `json:"problem,omitempty"`
}
