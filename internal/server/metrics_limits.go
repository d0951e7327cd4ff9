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

// limitCollector shows how often limits were met, and what they are about.
type limitCollector struct {
	table   *limit.Table
	current func() *gate.Listener
}

var (
	descTransfers = prometheus.NewDesc("jamesd_transfers", "Archives and streams that devices are being sent.", nil, nil)
	descWorking   = prometheus.NewDesc("jamesd_requests_in_progress", "Requests of devices that are worked on, without polls that are held.", nil, nil)
	descBodies    = prometheus.NewDesc("jamesd_request_bytes_held", "Bytes of large bodies of devices' requests that are held.", nil, nil)
	descLimited   = prometheus.NewDesc("jamesd_limited_total", "Times that a limit was met, by which.", []string{"limit"}, nil)
	descPaced     = prometheus.NewDesc("jamesd_paced_seconds_total", "Time for which what is sent was held up, by the limit.", []string{"limit"}, nil)
)

// Describe implements prometheus.Collector.
func (c limitCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descTransfers, descWorking, descBodies, descLimited, descPaced} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c limitCollector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, n int64) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n))
	}
	gauge(descTransfers, c.table.Running())
	gauge(descWorking, c.table.Working())
	gauge(descBodies, c.table.Held())
	var crowded uint64
	if g := c.current(); g != nil {
		crowded = g.Stats().Crowded
	}
	out <- prometheus.MustNewConstMetric(descLimited, prometheus.CounterValue, float64(crowded), "device-connections")
	for _, r := range limit.Refusals() {
		out <- prometheus.MustNewConstMetric(descLimited, prometheus.CounterValue, float64(c.table.Met(r)), r.String())
	}
	for _, r := range []limit.Reason{limit.DeviceRate, limit.Rate} {
		out <- prometheus.MustNewConstMetric(descPaced, prometheus.CounterValue, c.table.Waited(r).Seconds(), r.String())
	}
}
