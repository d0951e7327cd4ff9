package client

import (
	"context"
	"net/http"
	"net/url"

	"github.com/trusch/jamesd/pkg/james"
)

// Packets returns the packets of that name, or all where name is "".
func (c *Client) Packets(ctx context.Context, name string) ([]james.Packet, error) {
	r := request{op: "list packets", method: http.MethodGet, path: "/v1/packets", limit: maxList}
	if name != "" {
		r.query = url.Values{"name": {name}}
	}
	var packets []james.Packet
	_, err := c.call(ctx, r, &packets)
	return packets, err
}

// Packet returns the packet of that digest. It fails with KindNotFound.
func (c *Client) Packet(ctx context.Context, d james.Digest) (james.Packet, error) {
	var packet james.Packet
	r, err := packetRequest("get packet", http.MethodGet, d, "")
	if err != nil {
		return packet, err
	}
	_, err = c.call(ctx, r, &packet)
	return packet, err
}

// Diff returns what an upgrade from one packet to another changes, and what it costs
// now. It fails with KindNotFound where one of them is not there.
func (c *Client) Diff(ctx context.Context, from, to james.Digest) (james.Difference, error) {
	var diff james.Difference
	r, err := packetRequest("compare packet", http.MethodGet, to, "/diff")
	if err != nil {
		return diff, err
	}
	if from.IsZero() {
		return diff, named(&r, james.Errorf(james.KindInvalid, "", "no digest is given to compare it with"))
	}
	r.query, r.limit = url.Values{"from": {from.String()}}, maxList
	_, err = c.call(ctx, r, &diff)
	return diff, err
}

// DeletePacket deletes a packet. It fails with KindNotFound, and with
// KindConflict where a desired state resolves to it, unless force is set.
func (c *Client) DeletePacket(ctx context.Context, d james.Digest, force bool) error {
	r, err := packetRequest("delete packet", http.MethodDelete, d, "")
	if err != nil {
		return err
	}
	if force {
		r.query = url.Values{"force": {"true"}}
	}
	_, err = c.call(ctx, r, nil)
	return err
}

// packetRequest returns the request about a packet or a part of it.
func packetRequest(op, method string, d james.Digest, part string) (request, error) {
	r := request{op: op, subject: d.Short(), method: method, path: "/v1/packets/" + d.String() + part}
	if d.IsZero() {
		return r, named(&r, james.Errorf(james.KindInvalid, "", "no digest is given"))
	}
	return r, nil
}
