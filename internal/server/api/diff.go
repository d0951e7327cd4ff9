package api

import (
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// getDiff answers with what an upgrade to the packet of the path changes and costs.
func getDiff(c *call, _ *fleet.Fleet) error {
	from, err := james.ParseDigest(c.query().Get("from"))
	if err != nil {
		return james.Errorf(james.KindInvalid, "", "the parameter from: %w", err)
	}
	s, err := c.supply()
	if err != nil {
		return err
	}
	diff, err := s.Diff(c.r.Context(), from, c.digest)
	return c.result(diff, err)
}
