package server

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/trusch/jamesd/internal/server/timed"
	"github.com/trusch/jamesd/pkg/james"
)

// workMetrics tell how long jamesd takes for what requests wait for.
type workMetrics struct {
	resolve prometheus.Histogram
	store   *prometheus.HistogramVec
	failed  *prometheus.CounterVec
}

// Buckets in seconds: of computing a plan in memory, and of calling a store, which
// waits for a disk or a network.
var (
	resolveBuckets = []float64{5e-6, 10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 1e-3, 10e-3, 100e-3}
	storeBuckets   = []float64{.0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .5, 1, 5, 30}
)

func newWorkMetrics() *workMetrics {
	return &workMetrics{
		resolve: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "jamesd_resolve_duration_seconds", Help: "Time to compute the plan of a device.", Buckets: resolveBuckets,
		}),
		store: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "jamesd_store_duration_seconds", Help: "Time that calls of the stores took, by operation.", Buckets: storeBuckets,
		}, []string{"store", "operation"}),
		failed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_store_failures_total", Help: "Calls of the stores that failed, other than by not finding something or by being given up.",
		}, []string{"store"}),
	}
}

func (m *workMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.resolve, m.store, m.failed}
}

func (m *workMetrics) resolved(took time.Duration) { m.resolve.Observe(took.Seconds()) }

// calls returns what is told of the calls of that store.
func (m *workMetrics) calls(store string) timed.Observe {
	failed := m.failed.WithLabelValues(store)
	duration := m.store.MustCurryWith(prometheus.Labels{"store": store})
	return func(c timed.Call) {
		duration.WithLabelValues(c.Operation).Observe(c.Took.Seconds())
		switch james.KindOf(c.Err) {
		case james.KindUnavailable, james.KindCorrupt, james.KindInternal:
			failed.Inc()
		}
	}
}
