package server

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/trusch/jamesd/internal/server/supply"
)

// supplyCollector shows the numbers of streams and patches, and of their cache, as
// they are when asked for.
type supplyCollector struct{ current func() *supply.Supply }

var (
	descStreams       = prometheus.NewDesc("jamesd_streams_total", "Requests for contents, by how they were answered.", []string{"answer"}, nil)
	descStreamsMade   = prometheus.NewDesc("jamesd_streams_ahead_total", "Streams that were made before they were asked for.", nil, nil)
	descPatches       = prometheus.NewDesc("jamesd_patches_total", "Patches that were made, by what came of them.", []string{"result"}, nil)
	descPatchBytes    = prometheus.NewDesc("jamesd_patch_bytes_total", "Bytes of the patches that are used, compressed.", nil, nil)
	descPatchesQueued = prometheus.NewDesc("jamesd_patches_queued", "Pairs of packets that wait for their patches.", nil, nil)
	descCacheBytes    = prometheus.NewDesc("jamesd_cache_bytes", "Bytes that the cache takes of the disk.", nil, nil)
	descCacheLimit    = prometheus.NewDesc("jamesd_cache_limit_bytes", "Bytes that the cache may take.", nil, nil)
	descCacheEvicted  = prometheus.NewDesc("jamesd_cache_evictions_total", "Entries of the cache that made room for others.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c supplyCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descStreams, descStreamsMade, descPatches, descPatchBytes, descPatchesQueued, descCacheBytes, descCacheLimit, descCacheEvicted} {
		out <- d
	}
}

// Collect implements prometheus.Collector.
func (c supplyCollector) Collect(out chan<- prometheus.Metric) {
	s := c.current()
	if s == nil {
		return
	}
	n := s.Stats()
	value := func(d *prometheus.Desc, kind prometheus.ValueType, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, kind, v, labels...)
	}
	value(descStreams, prometheus.CounterValue, float64(n.Streams), "made")
	value(descStreams, prometheus.CounterValue, float64(n.Hits), "kept")
	value(descStreams, prometheus.CounterValue, float64(n.Resumed), "resumed")
	value(descStreamsMade, prometheus.CounterValue, float64(n.Ahead))
	value(descPatches, prometheus.CounterValue, float64(n.Patches), "used")
	value(descPatches, prometheus.CounterValue, float64(n.Useless), "useless")
	value(descPatches, prometheus.CounterValue, float64(n.Failed), "failed")
	value(descPatchBytes, prometheus.CounterValue, float64(n.PatchBytes))
	value(descPatchesQueued, prometheus.GaugeValue, float64(n.Queued))
	value(descCacheBytes, prometheus.GaugeValue, float64(n.Cache.Used))
	value(descCacheLimit, prometheus.GaugeValue, float64(n.Cache.Limit))
	value(descCacheEvicted, prometheus.CounterValue, float64(n.Cache.Evictions))
}
