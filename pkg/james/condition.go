package james

// Condition says in a word how a device stands to its desired state. Each device has
// one. More may be added.
type Condition string

// The conditions.
const (
	ConditionInSync      Condition = "in-sync"      // it has what it should have
	ConditionPending     Condition = "pending"      // it has not picked up its plan, or tells nothing of it
	ConditionWorking     Condition = "working"      // it is downloading or applying
	ConditionWaiting     Condition = "waiting"      // it knows its plan and may not carry it out now
	ConditionFailed      Condition = "failed"       // it tried its plan, and has the old state
	ConditionUnresolved  Condition = "unresolved"   // an app that it should have has no packet, or several
	ConditionBroken      Condition = "broken"       // its last transaction could not be undone, somebody must look
	ConditionUnmanaged   Condition = "unmanaged"    // it has no desired state
	ConditionNeverPolled Condition = "never-polled" // it has a desired state, and has not been here
)

// Conditions returns all of them, those that need somebody's attention last.
func Conditions() []Condition {
	return []Condition{
		ConditionInSync, ConditionUnmanaged, ConditionWorking, ConditionWaiting, ConditionPending,
		ConditionNeverPolled, ConditionUnresolved, ConditionFailed, ConditionBroken,
	}
}
