package james

// AddPacketRequest is the first part, named "packet", of the multipart body of
// POST /v1/packets; the second part, named "archive", is the archive. The order
// lets the server refuse a request before it has read the archive.
type AddPacketRequest struct {
	Name    string                `json:"name"`
	Tags    TagSet                `json:"tags"`
	Scripts map[ScriptName][]byte `json:"scripts,omitempty"`
	// Health and Replaces are as in the Manifest.
	Health   *Health  `json:"health,omitempty"`
	Replaces []string `json:"replaces,omitempty"`
	// Replace allows a packet of the same name and tags with other content to be
	// replaced; the devices that have it get the new one as an upgrade.
	Replace bool `json:"replace,omitzero"`
}

// AddPacketResponse answers it. Added is false where the packet was there already.
type AddPacketResponse struct {
	Packet Packet `json:"packet"`
	Added  bool   `json:"added"`
	// Replaced is the digest of the packet that it took the place of.
	Replaced Digest `json:"replaced,omitzero"`
}

// SetDesiredRequest is the body of PUT /v1/devices/{id}/desired.
type SetDesiredRequest struct {
	State State `json:"state"`
	// Force stores a state that cannot be resolved now, or that is for a device
	// that has never polled.
	Force bool `json:"force,omitzero"`
}

// SetDesiredResponse answers it.
type SetDesiredResponse struct {
	Desired Desired `json:"desired"`
	// Changed is false where the device had that desired state already.
	Changed bool `json:"changed"`
	// Warnings are sentences about what was stored all the same.
	Warnings []string `json:"warnings,omitempty"`
}

// PlanResponse answers GET /v1/devices/{id}/plan.
type PlanResponse struct {
	Plan Plan `json:"plan"`
	// Explanations say how each app of the desired state resolves.
	Explanations []Explanation `json:"explanations"`
}

// Problem details of an error answer, application/problem+json (RFC 9457).
type ProblemDetails struct {
	Type    string `json:"type"` // "about:blank"
	Title   string `json:"title"`
	Status  int    `json:"status"`
	Detail  string `json:"detail"` // the cause
	Kind    Kind   `json:"kind"`
	Op      string `json:"op,omitempty"`
	Subject string `json:"subject,omitempty"`
	Hint    string `json:"hint,omitempty"`
	// Request is the id under which the server logged the request.
	Request string `json:"request,omitempty"`
}
