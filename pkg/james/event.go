package james

import "time"

// EventKind says what happened. Kinds are only ever added to.
type EventKind string

// The kinds of event.
const (
	EventPacketAdded    EventKind = "packet-added"
	EventPacketReplaced EventKind = "packet-replaced"
	EventPacketDeleted  EventKind = "packet-deleted"
	EventDesiredSet     EventKind = "desired-set"
	EventDesiredDeleted EventKind = "desired-deleted"
	EventDeviceSeen     EventKind = "device-seen" // polled for the first time
	EventDeviceDeleted  EventKind = "device-deleted"
	EventReport         EventKind = "report" // a device ended a transaction
	EventDrift          EventKind = "drift"  // files of a device's packets have begun or ceased to differ, or to be damaged
)

// EventKinds returns all of them.
func EventKinds() []EventKind {
	return []EventKind{
		EventPacketAdded, EventPacketReplaced, EventPacketDeleted, EventDesiredSet, EventDesiredDeleted,
		EventDeviceSeen, EventDeviceDeleted, EventReport, EventDrift,
	}
}

// Event is something that happened to the fleet.
type Event struct {
	// Seq orders events and grows; it has gaps.
	Seq  uint64    `json:"seq"`
	Time time.Time `json:"time"`
	Kind EventKind `json:"kind"`
	// Actor is the common name of the certificate that caused it.
	Actor  string `json:"actor,omitempty"`
	Device string `json:"device,omitempty"`
	Packet string `json:"packet,omitempty"` // name and tags
	Text   string `json:"text"`             // a sentence
}
