package james

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// DeviceReport is what a device says of itself in a poll.
type DeviceReport struct {
	SystemTags TagSet `json:"systemtags"`
	Apps       []App  `json:"apps"`
	Revision   uint64 `json:"revision"` // of the desired state last applied
	Agent      string `json:"agent,omitempty"`
	// Drift is what on the device is not as its packets have it; nil where nothing
	// is.
	Drift *Drift `json:"drift,omitempty"`
	// Waiting says why it does not carry out the plan that it has now; nil where it
	// has none, or does.
	Waiting *Waiting `json:"waiting,omitempty"`
}

// Digest identifies the report's content.
func (r *DeviceReport) Digest() Digest {
	raw, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings, numbers and digests only
	}
	return DigestOf(raw)
}

// PollRequest is the body of POST /v1/poll.
type PollRequest struct {
	// Same is the digest of the report that the device sent last; Report is nil
	// then. A server that does not know Same answers with Resend.
	Same   Digest        `json:"same,omitzero"`
	Report *DeviceReport `json:"report,omitempty"`
	// Known is the ID of a plan that the device has and does not want again now,
	// as it tried it and failed, or cannot do anything about it.
	Known Digest `json:"known,omitzero"`
	// KnownRevision is the revision of that plan. The device wants it again when
	// its revision is another, as somebody has set the desired state anew.
	KnownRevision uint64 `json:"known_revision,omitzero"`
	// Wait is how long the server may hold the request, in whole seconds; 0 asks
	// for an answer at once.
	Wait int `json:"wait,omitzero"`
}

// AtOnce is the Pause of a device that polls again at once.
const AtOnce = time.Millisecond

// MaxWait is the longest time that a poll is held.
const MaxWait = 5 * time.Minute

// PollResponse is the answer to a poll. One without a plan and without Resend is
// sent as 204 No Content: the device has nothing to do.
type PollResponse struct {
	// Interval is the time from the beginning of this poll to that of the next one, in
	// whole seconds, for a device that is not told the Pause. It travels as the header
	// HeaderPollInterval.
	Interval int `json:"-"`
	// Pause is the time from the answer to the next poll, AtOnce at least; 0 where the
	// server does not say. A device that may wait asks to have that one held for longer
	// than Interval, by a quarter, and is answered at its turn. It travels as the header
	// HeaderPollPause.
	Pause time.Duration `json:"-"`
	// Revision is that of the desired state that the device is in, when there is
	// nothing to do; it travels as the header HeaderRevision.
	Revision uint64 `json:"-"`
	// Dropped says that there is no plan any more in the place of the one that the
	// device knows; it travels as the header HeaderPlan.
	Dropped bool `json:"-"`
	// Request is the id of the poll, by which the server's log names it; it travels as
	// the header HeaderRequestID.
	Request string `json:"-"`
	// Resend asks the device to poll again at once with its whole report.
	Resend bool  `json:"resend,omitzero"`
	Plan   *Plan `json:"plan,omitempty"`
}

// HeaderDevice is the header by which a site cache says for which device it asks.
// Nobody else's is looked at.
const HeaderDevice = "Device"

// Headers of the answer to a poll.
const (
	HeaderPollInterval = "Poll-Interval" // seconds
	HeaderPollPause    = "Poll-Pause"    // seconds, with three decimals
	HeaderRevision     = "Revision"
	HeaderPlan         = "Plan" // PlanNone, or absent
)

// PlanNone is the value of HeaderPlan where the plan that the device knows is not
// wanted any more, nor another one.
const PlanNone = "none"

// Result says how a transaction ended.
type Result string

// The results.
const (
	Committed  Result = "committed"   // the device has the new state
	RolledBack Result = "rolled-back" // a step failed, everything is as it was before
	Refused    Result = "refused"     // nothing was changed: it could not be fetched or must not be installed
	Broken     Result = "broken"      // a step failed, and so did undoing it; somebody must look
)

// MaxOutput bounds the script output that a Report carries, in bytes.
const MaxOutput = 16 << 10

// Report tells the server how a plan went.
type Report struct {
	Plan     Digest `json:"plan"`
	Revision uint64 `json:"revision"`
	Result   Result `json:"result"`
	// Error and Kind say what failed; App and Script say where, if it was there.
	Error  string     `json:"error,omitempty"`
	Kind   Kind       `json:"kind,omitempty"`
	App    string     `json:"app,omitempty"`
	Script ScriptName `json:"script,omitempty"`
	// Output is the end of what the failed script printed.
	Output  string    `json:"output,omitempty"`
	Started time.Time `json:"started"`
	Ended   time.Time `json:"ended"`
	// Recovered says that the agent died in the transaction and ended it at its
	// next start.
	Recovered bool `json:"recovered,omitzero"`
	// Attempts counts the tries of this plan; RetryAt is the time of the next.
	Attempts int       `json:"attempts,omitzero"`
	RetryAt  time.Time `json:"retry_at,omitzero"`
}

// Summary says in a sentence how the transaction ended, what failed, and what
// the device has now.
func (r *Report) Summary() string {
	text := map[Result]string{
		Committed:  "was carried out",
		RolledBack: "failed and was undone, the old state is back",
		Refused:    "was refused, nothing was changed",
		Broken:     "failed and could not be undone, somebody must look at the device",
	}[r.Result]
	text = fmt.Sprintf("revision %d %s", r.Revision, text)
	if r.Recovered {
		text += ", after an interruption"
	}
	if r.Result == Committed {
		return text
	}
	return text + ": " + r.Cause()
}

// Cause returns what failed, with the script where the error does not name it.
func (r *Report) Cause() string {
	text := strings.TrimRight(r.Error, ".\n ")
	if text == "" {
		text = "no cause was given"
	}
	if r.Script != "" && !strings.Contains(text, string(r.Script)) {
		text = fmt.Sprintf("%s of %s: %s", r.Script, r.App, text)
	}
	return text
}
