package sim

import "math/rand/v2"

// role is how a device behaves.
type role int

// The roles.
const (
	honest role = iota
	failing
	slow
	flooding
	stalling
	garbling
)

// odd reports whether a device behaves as no agent does.
func (r role) odd() bool { return r >= flooding }

// roles returns the role of each device. They are the same each time, and spread over
// the fleet.
func (s *settings) roles() []role {
	roles := make([]role, s.devices)
	order := rand.New(rand.NewPCG(1, 2)).Perm(s.devices)
	for _, p := range []struct {
		share *share
		role  role
	}{{&s.fail, failing}, {&s.slow, slow}, {&s.flood, flooding}, {&s.stall, stalling}, {&s.garbage, garbling}} {
		n := p.share.of(s.devices)
		for _, i := range order[:n] {
			roles[i] = p.role
		}
		order = order[n:]
	}
	return roles
}
