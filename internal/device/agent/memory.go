package agent

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Memory is what the agent remembers over a restart. It is small, and nothing in
// it is needed to install or remove anything: a device that lost it reports
// less, and tries sooner what failed.
type Memory struct {
	// Device is the id that the device had; "" where it was not known.
	Device string `json:"device,omitempty"`
	// Apps are the installed packets, for people; the installer knows better.
	Apps []james.App `json:"apps"`
	// Revision is that of the desired state last applied, 0 for none.
	Revision uint64 `json:"revision"`
	// Committed is the installer's number of the last committed plan that there was
	// a report of.
	Committed uint64 `json:"committed,omitzero"`
	// Failure is the plan that failed last, until it succeeds or is given up for
	// another.
	Failure *Failure `json:"failure,omitempty"`
	// Waiting is the plan that is not carried out now, and why.
	Waiting *james.Waiting `json:"waiting,omitempty"`
	// Pending are the reports that the server has not got, oldest first.
	Pending []james.Report `json:"pending,omitempty"`
	// Last is the newest report.
	Last *james.Report `json:"last,omitempty"`
}

// Failure is a plan that was tried in vain.
type Failure struct {
	Plan     james.Digest `json:"plan"`
	Revision uint64       `json:"revision"`
	Attempts int          `json:"attempts"`
	RetryAt  time.Time    `json:"retry_at"`
}

// try identifies what is tried: the same plan of another revision is another
// try, as an operator who sets a state again wants it tried again.
type try struct {
	plan     james.Digest
	revision uint64
}

const (
	// MemoryFile is its name in the directory of Options.State.
	MemoryFile = "agent.json"
	// maxPending bounds the reports that are kept; the oldest go first.
	maxPending = 16
	// maxMemory bounds the file: script output takes up to 6 bytes a byte in JSON.
	maxMemory = (maxPending+1)*(6*james.MaxOutput+16<<10) + james.MaxApps*(james.MaxTags+1)*(james.MaxTagLen+4)
)

// DecodeMemory reads what the file agent.json of a state directory holds. It
// fails with KindCorrupt.
func DecodeMemory(raw []byte) (Memory, error) {
	var m Memory
	if err := json.Unmarshal(raw, &m); err != nil {
		return Memory{}, &james.Error{Kind: james.KindCorrupt, Subject: MemoryFile, Err: err}
	}
	return m, nil
}

// add appends a report to those that the server has not got.
func (m *Memory) add(r *james.Report) {
	m.Last = r
	m.Pending = append(m.Pending, *r)
	m.Pending = slices.Clone(m.Pending[max(0, len(m.Pending)-maxPending):])
}

// attempts returns how often t has failed.
func (m *Memory) attempts(t try) int {
	if f := m.Failure; f != nil && (try{f.Plan, f.Revision}) == t {
		return f.Attempts
	}
	return 0
}

// wait returns how long the failed plan is not to be tried again, at most limit:
// a time further ahead than any that was ever set is one that a wrong clock set.
func (f *Failure) wait(now time.Time, limit time.Duration) time.Duration {
	if f == nil {
		return 0
	}
	if d := f.RetryAt.Sub(now); d > 0 && d <= limit {
		return d
	}
	return 0
}
