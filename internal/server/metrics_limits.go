package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trusch/jamesd/internal/server/gate"
	"github.com/trusch/jamesd/internal/server/limit"
)

// gateCollector shows the numbers of connections as they are when asked for.
type gateCollector struct{ current func() *gate.Listener }

var (
	descConnections = prometheus.NewDesc("jamesd_connections", "Connections that are open, those in their handshake included.", nil, nil)
	descPending     = prometheus.NewDesc("jamesd_handshakes_pending", "Connections that are in their handshake.", nil, nil)
	descHandshakes  = prometheus.NewDesc("jamesd_handshakes_total", "TLS handshakes, by how they ended.", []string{"result"}, nil)
	descTurnedAway  = prometheus.NewDesc("jamesd_connections_refused_total", "Connections that were closed before they were let in, by why.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (c gateCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descConnections, descPending, descHandshakes, descTurnedAway} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c gateCollector) Collect(out chan<- prometheus.Metric) {
	var s gate.Stats
	if g := c.current(); g != nil {
		s = g.Stats()
	}
	out <- prometheus.MustNewConstMetric(descConnections, prometheus.GaugeValue, float64(s.Open))
	out <- prometheus.MustNewConstMetric(descPending, prometheus.GaugeValue, float64(s.Pending))
	for result, n := range map[string]uint64{"full": s.Full, "resumed": s.Resumed, "failed": s.Failed} {
		out <- prometheus.MustNewConstMetric(descHandshakes, prometheus.CounterValue, float64(n), result)
	}
	for reason, n := range map[string]uint64{"busy": s.Late, "silent": s.Silent, "too-many": s.Refused} {
		out <- prometheus.MustNewConstMetric(descTurnedAway, prometheus.CounterValue, float64(n), reason)
	}
}

// limitCollector shows how often devices met a limit.
type limitCollector struct{ table *limit.Table }

var (
	descTransfers = prometheus.NewDesc("jamesd_transfers", "Archives and streams that devices are being sent.", nil, nil)
	descLimited   = prometheus.NewDesc("jamesd_limited_total", "Requests of devices that met a limit, by which.", []string{"limit"}, nil)
)

// Describe implements prometheus.Collector.
func (c limitCollector) Describe(out chan<- *prometheus.Desc) {
	out <- descTransfers
	out <- descLimited
}

// Collect implements prometheus.Collector.
func (c limitCollector) Collect(out chan<- prometheus.Metric) {
	out <- prometheus.MustNewConstMetric(descTransfers, prometheus.GaugeValue, float64(c.table.Running()))
	for name, r := range map[string]limit.Reason{
		"device-requests": limit.Requests, "device-transfers": limit.DeviceTransfers, "max-transfers": limit.Transfers,
	} {
		out <- prometheus.MustNewConstMetric(descLimited, prometheus.CounterValue, float64(c.table.Met(r)), name)
	}
}
