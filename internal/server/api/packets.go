package api

import (
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

func listPackets(c *call, f *fleet.Fleet) error {
	name := c.query().Get("name")
	if c.query().Has("name") {
		if err := james.CheckName(name); err != nil {
			return err
		}
	}
	all := f.Packets()
	if name == "" {
		return list(c, all, nil)
	}
	var named []james.Packet
	for _, p := range all {
		if p.Name == name {
			named = append(named, p)
		}
	}
	return list(c, named, nil)
}

func getPacket(c *call, f *fleet.Fleet) error {
	p, err := f.Packet(c.digest)
	return c.result(p, err)
}

func deletePacket(c *call, f *fleet.Fleet) error {
	force, err := c.flag("force")
	if err != nil {
		return err
	}
	return c.done(f.DeletePacket(c.r.Context(), c.caller.name, c.digest, force))
}
