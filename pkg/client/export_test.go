package client

import (
	"context"
	"net"
)

// EachConn has f put something around every connection of c.
func (c *Client) EachConn(f func(net.Conn) net.Conn) {
	dial := c.transport.DialTLSContext
	c.transport.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return f(conn), nil
	}
}
