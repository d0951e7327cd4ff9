package server

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/internal/version"
)

// metrics are what /metrics shows. Their names and labels are kept stable.
type metrics struct {
	registry  *prometheus.Registry
	answers   sync.Map // of each answer, its counters
	requests  *prometheus.CounterVec
	duration  *prometheus.HistogramVec
	in, out   *prometheus.CounterVec
	downloads *downloadMetrics
	work      *workMetrics
}

// buckets reach from an idle poll to a held one and to a long transfer, in seconds.
var buckets = []float64{.0005, .001, .005, .01, .05, .1, .5, 1, 5, 30, 60, 300, 1800}

func newMetrics(conf *tls.Config, caFile string) *metrics {
	route := []string{"route"}
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_requests_total", Help: "Requests that were answered, by route and status.",
		}, []string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "jamesd_request_duration_seconds", Help: "Time from a request's header to the end of its answer; held polls take as long as they are held.",
			Buckets: buckets,
		}, route),
		in: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_request_bytes_total", Help: "Bytes of request bodies that were read.",
		}, route),
		out: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "jamesd_response_bytes_total", Help: "Bytes of answers' bodies.",
		}, route),
		downloads: newDownloadMetrics(),
		work:      newWorkMetrics(),
	}
	m.registry.MustRegister(m.downloads.collectors()...)
	m.registry.MustRegister(m.requests, m.duration, m.in, m.out,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m.constants(conf, caFile)
	return m
}

// collectors returns those of the numbers of what jamesd was started for.
func (d *jamesd) collectors() []prometheus.Collector {
	if d.o.cacheOf != "" {
		return []prometheus.Collector{siteCollector{d.state.site.Load}}
	}
	own := []prometheus.Collector{fleetCollector{d.state.fleet.Load}, supplyCollector{d.state.supply.Load}}
	return append(own, d.metrics.work.collectors()...)
}

// constants registers what does not change while jamesd runs.
func (m *metrics) constants(conf *tls.Config, caFile string) {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "jamesd_build_info", Help: "Always 1; the labels say which build this is.",
	}, []string{"commit", "go"})
	build.WithLabelValues(version.Commit(), runtime.Version()).Set(1)
	expiry := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "jamesd_certificate_expiry_timestamp_seconds", Help: "When the certificate of the server, or the first of the authority's, expires.",
	}, []string{"certificate"})
	for name, t := range expiries(conf, caFile) {
		expiry.WithLabelValues(name).Set(float64(t.Unix()))
	}
	m.registry.MustRegister(build, expiry)
}

// expiries returns the end of each certificate's validity. What cannot be read
// is left out: jamesd has refused to start with it.
func expiries(conf *tls.Config, caFile string) map[string]time.Time {
	out := map[string]time.Time{}
	if len(conf.Certificates) > 0 && conf.Certificates[0].Leaf != nil {
		out["server"] = conf.Certificates[0].Leaf.NotAfter
	}
	raw, err := os.ReadFile(caFile)
	if err != nil {
		return out
	}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		cert, err := x509.ParseCertificate(block.Bytes)
		if first, ok := out["authority"]; err == nil && (!ok || cert.NotAfter.Before(first)) {
			out["authority"] = cert.NotAfter
		}
	}
	return out
}

// answer is what requests are counted by, answered those that count them: looking these
// up by their labels takes longer than counting.
type answer struct {
	route  string
	status int
}

type answered struct {
	requests, in, out prometheus.Counter
	duration          prometheus.Observer
}

// observe counts a request.
func (m *metrics) observe(o api.Observation) {
	a := m.answered(answer{o.Route, o.Status})
	a.requests.Inc()
	a.duration.Observe(o.Duration.Seconds())
	a.in.Add(float64(o.In))
	a.out.Add(float64(o.Out))
	m.downloads.observe(o)
}

func (m *metrics) answered(of answer) *answered {
	if a, ok := m.answers.Load(of); ok {
		return a.(*answered)
	}
	a, _ := m.answers.LoadOrStore(of, &answered{
		requests: m.requests.WithLabelValues(of.route, strconv.Itoa(of.status)),
		in:       m.in.WithLabelValues(of.route),
		out:      m.out.WithLabelValues(of.route),
		duration: m.duration.WithLabelValues(of.route),
	})
	return a.(*answered)
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4})
}
