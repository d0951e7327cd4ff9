package sim

import (
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Histogram is tested by itself.
type Histogram = histogram

// Add counts d.
func (h *histogram) Add(d time.Duration) { h.add(d) }

// Quantile returns the time within which that part is.
func (h *histogram) Quantile(q float64) time.Duration { return h.quantile(q) }

// Share returns how many of n devices a share is.
func Share(text string, n int) (int, error) {
	var s share
	err := s.Set(text)
	return s.of(n), err
}

// ParseApps reads the value of --want.
func ParseApps(text string) ([]james.App, error) { return parseApps("--want", text) }

// NameOf sorts an error.
var NameOf = nameOf

// Sources returns how many own addresses that many connections need.
func Sources(addr string, connections int) (int, error) {
	all, err := sourcesFor(addr, connections)
	return len(all), err
}
