package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trusch/jamesd/internal/server/site"
)

// siteCollector shows the numbers of a site's cache as they are when asked for.
type siteCollector struct{ current func() *site.Site }

var (
	descSiteAnswers = prometheus.NewDesc("jamesd_site_answers_total", "Manifests, archives and streams that devices asked for: kept, fetched, or passed through.", []string{"from"}, nil)
	descSiteBytes   = prometheus.NewDesc("jamesd_site_fetched_bytes_total", "Bytes of contents that came from the jamesd that this is a cache of.", nil, nil)
	descSiteAsked   = prometheus.NewDesc("jamesd_site_permissions_total", "Times that jamesd was asked whether a device may get a packet, by its answer.", []string{"answer"}, nil)
	descSiteReached = prometheus.NewDesc("jamesd_site_reached", "Whether jamesd answered when it was asked last.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c siteCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descSiteAnswers, descSiteBytes, descSiteAsked, descSiteReached, descCacheBytes, descCacheLimit, descCacheEvicted} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c siteCollector) Collect(out chan<- prometheus.Metric) {
	s := c.current()
	if s == nil {
		return
	}
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	n := s.Stats()
	value(descSiteAnswers, prometheus.CounterValue, float64(n.Cache.Hits), "kept")
	value(descSiteAnswers, prometheus.CounterValue, float64(n.Cache.Misses), "fetched")
	value(descSiteAnswers, prometheus.CounterValue, float64(n.Passed), "passed")
	value(descSiteBytes, prometheus.CounterValue, float64(n.Bytes))
	value(descSiteAsked, prometheus.CounterValue, float64(n.Asked-n.Denied), "allowed")
	value(descSiteAsked, prometheus.CounterValue, float64(n.Denied), "denied")
	reached := 1.0
	if s.Ready() != nil {
		reached = 0
	}
	value(descSiteReached, prometheus.GaugeValue, reached)
	value(descCacheBytes, prometheus.GaugeValue, float64(n.Cache.Used))
	value(descCacheLimit, prometheus.GaugeValue, float64(n.Cache.Limit))
	value(descCacheEvicted, prometheus.CounterValue, float64(n.Cache.Evictions))
}
