package james

import "time"

// FleetStatus answers GET /v1/status: the fleet at a glance. What it says of the whole
// fleet may be some seconds old.
type FleetStatus struct {
	Time time.Time `json:"time"` // of the jamesd that answers
	// Packets and Devices count all that there are, the devices by condition.
	Packets int               `json:"packets"`
	Devices map[Condition]int `json:"devices"`
	// Damaged counts devices on which files of packets are damaged; Silent those that
	// should have polled by now: three of their intervals and MaxWait have passed.
	Damaged int `json:"damaged"`
	Silent  int `json:"silent"`
	// Results count the devices whose last transaction ended within the last
	// ResultsWithin seconds, by how.
	Results       map[Result]int `json:"results"`
	ResultsWithin int            `json:"results_within"`
	// Polls is what the jamesd that answers has to do with them.
	Polls PollStatus `json:"polls"`
	// Working are the devices that are at their plans, as far as they tell this jamesd,
	// Troubled those with which something is wrong, the worst first; at most MaxGlances
	// of each.
	Working  []Glance `json:"working"`
	Troubled []Glance `json:"troubled"`
	// TroubledCount is how many there are of those.
	TroubledCount int `json:"troubled_count"`
	// Rollouts are the packets that devices are still to get, those of the most devices
	// first; at most MaxGlances.
	Rollouts []Rollout `json:"rollouts"`
	// Events are the newest, the newest of them last; at most MaxGlances.
	Events []Event `json:"events"`
}

// MaxGlances bounds each list of a FleetStatus.
const MaxGlances = 50

// PollStatus is how the polls of one jamesd go.
type PollStatus struct {
	Held int `json:"held"` // now
	// Rate is how many were answered a second, lately.
	Rate float64 `json:"rate"`
}

// Glance is a device as far as a line has room for it.
type Glance struct {
	ID        string    `json:"id"`
	Condition Condition `json:"condition"`
	LastSeen  time.Time `json:"last_seen,omitzero"`
	// Reason says in a sentence what is wrong with it, or what it is at.
	Reason   string    `json:"reason,omitempty"`
	Progress *Progress `json:"progress,omitempty"`
}

// Rollout is how far devices are that should have a packet, and of which at least one
// has not got it yet.
type Rollout struct {
	Name   string `json:"name"`
	Tags   TagSet `json:"tags"`
	Digest Digest `json:"digest"`
	// Have counts the devices that have it, Pending those whose plan brings it, Failed
	// those of them that tried that in vain.
	Have    int `json:"have"`
	Pending int `json:"pending"`
	Failed  int `json:"failed"`
}
