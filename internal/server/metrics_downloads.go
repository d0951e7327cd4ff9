package server

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trusch/jamesd/internal/server/api"
)

// downloadMetrics count what goes out of packets, and what need not.
type downloadMetrics struct{ count, bytes, saved *prometheus.CounterVec }

// How a device is spared fetching something.
const (
	byReuse = "reused"
	byPatch = "patched"
)

func newDownloadMetrics() *downloadMetrics {
	way := []string{"way"}
	m := &downloadMetrics{
		count: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_downloads_total", Help: "Answers with an archive, with contents, or with contents of which at least one is a patch.",
		}, way),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_download_bytes_total", Help: "Bytes of those answers.",
		}, way),
		saved: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_download_saved_bytes_total", Help: "Bytes of archives that were not sent as contents were reused, or came as patches, in streams that were sent to their end.",
		}, []string{"by"}),
	}
	for _, w := range []api.Way{api.ByArchive, api.ByStream, api.ByPatch} {
		m.count.WithLabelValues(string(w))
		m.bytes.WithLabelValues(string(w))
	}
	for _, by := range []string{byReuse, byPatch} {
		m.saved.WithLabelValues(by)
	}
	return m
}

func (m *downloadMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.count, m.bytes, m.saved}
}

// observe counts a request, if it is a download.
func (m *downloadMetrics) observe(o api.Observation) {
	if o.Way == "" || o.Status >= http.StatusMultipleChoices {
		return
	}
	m.count.WithLabelValues(string(o.Way)).Inc()
	m.bytes.WithLabelValues(string(o.Way)).Add(float64(o.Out))
	m.saved.WithLabelValues(byReuse).Add(float64(o.Saved.Reused))
	m.saved.WithLabelValues(byPatch).Add(float64(o.Saved.Patched))
}
