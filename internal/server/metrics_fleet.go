package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// fleetCollector shows the numbers of the fleet as they are when asked for.
type fleetCollector struct{ current func() *fleet.Fleet }

var (
	descPackets = prometheus.NewDesc("jamesd_packets", "Packets in the catalogue.", nil, nil)
	descDevices = prometheus.NewDesc("jamesd_devices", "Devices, by condition.", []string{"condition"}, nil)
	descDamaged = prometheus.NewDesc("jamesd_devices_damaged", "Devices on which files of packets are damaged, edited configuration aside.", nil, nil)
	descHeld    = prometheus.NewDesc("jamesd_polls_held", "Polls that are held now.", nil, nil)
	descPolls   = prometheus.NewDesc("jamesd_polls_total", "Polls, by outcome.", []string{"outcome"}, nil)
	descReports = prometheus.NewDesc("jamesd_reports_total", "Transactions that devices reported, by result.", []string{"result"}, nil)
	descReached = prometheus.NewDesc("jamesd_store_reached", "Whether the store has been reached since the start.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c fleetCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descPackets, descDevices, descDamaged, descHeld, descPolls, descReports, descReached} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c fleetCollector) Collect(out chan<- prometheus.Metric) {
	f := c.current()
	if f == nil {
		out <- prometheus.MustNewConstMetric(descReached, prometheus.GaugeValue, 0)
		return
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	counter := func(d *prometheus.Desc, n uint64, label string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), label)
	}
	s := f.Stats()
	gauge(descReached, 1)
	gauge(descPackets, s.Packets)
	gauge(descHeld, s.Waiting)
	for _, c := range james.Conditions() {
		gauge(descDevices, s.Devices[c], string(c))
	}
	gauge(descDamaged, s.Damaged)
	counter(descPolls, s.Polls.Plan, "plan")
	counter(descPolls, s.Polls.Idle, "idle")
	counter(descPolls, s.Polls.Resend, "resend")
	counter(descPolls, s.Polls.Failed, "failed")
	counter(descReports, s.Reports.Committed, "committed")
	counter(descReports, s.Reports.RolledBack, "rolled-back")
	counter(descReports, s.Reports.Refused, "refused")
	counter(descReports, s.Reports.Broken, "broken")
}
