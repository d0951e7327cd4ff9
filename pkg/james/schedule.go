package james

// Schedule says when a device may carry out what is wanted of it. What it leaves
// unsaid is the device's own settings' to say.
type Schedule struct {
	// Download is when contents may be fetched, Apply when a change may begin.
	Download Window `json:"download,omitzero" yaml:"download,omitempty"`
	Apply    Window `json:"apply,omitzero" yaml:"apply,omitempty"`
	// Urgent has contents fetched at once, whatever Download and the device's
	// settings say, also over a metered link. The change waits for Apply all the
	// same.
	Urgent bool `json:"urgent,omitzero" yaml:"urgent,omitempty"`
}

// Describe says in a few words what the schedule says, "" for nothing.
func (s Schedule) Describe() string {
	var text string
	add := func(more string) {
		if text != "" {
			text += ", "
		}
		text += more
	}
	if !s.Download.IsZero() {
		add("download " + s.Download.String())
	}
	if !s.Apply.IsZero() {
		add("apply " + s.Apply.String())
	}
	if s.Urgent {
		add("urgent")
	}
	return text
}
