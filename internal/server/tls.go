package server

import (
	"context"
	"crypto/tls"
	"net"
	"time"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/server/gate"
	"github.com/trusch/jamesd/internal/server/tickets"
)

// prepareTLS makes the configuration what is served: HTTP/1.1, and tickets for devices
// only.
func (d *jamesd) prepareTLS() {
	d.tls.NextProtos = []string{"http/1.1"}
	tickets.Guard(d.tls, func(cs tls.ConnectionState) bool { return d.deviceOf(cs) != "" })
	d.keys = &tickets.Keeper{Config: d.tls, Log: d.log, Now: time.Now}
}

func (d *jamesd) deviceOf(cs tls.ConnectionState) string { return api.DeviceOf(cs, d.o.admins) }

// enter opens the gate. It is called once, by who closes the listener that it returns.
func (d *jamesd) enter() net.Listener {
	g := gate.New(d.apiConn, gate.Options{TLS: d.tls, Connections: d.o.limits.connections(), Each: d.o.limits.deviceConnections, Client: d.deviceOf})
	d.state.gate.Store(g)
	return g
}

// takeKeys has sessions of before resumed, also those of other servers of the store. One
// whose keys cannot be had is served without.
func (d *jamesd) takeKeys(ctx context.Context, b *backend) {
	d.keys.Secrets = b.store.Secrets()
	if err := d.keys.Refresh(ctx); err != nil {
		d.log.WithError(err).Warn("the keys of session tickets cannot be looked up")
	}
	d.key()
}
