package transfer

import (
	"encoding/json"
	"maps"
	"math"
	"time"

	"github.com/trusch/jamesd/internal/device/disk"
)

// RatesFile is where a fetcher remembers what it measured.
const (
	RatesFile = "rates.json"
	maxRates  = 4 << 10
)

// rates are what the link and the processor have done so far, in bytes in a second.
type rates struct {
	// Link is what arrives; 0 where that is not known.
	Link float64 `json:"link,omitzero"`
	// Decode is the content that is decoded, compared and written, by decoder: the
	// format of an archive, or that of a stream.
	Decode map[string]float64 `json:"decode,omitempty"`

	disk  *disk.Disk
	saved map[string]float64 // what the file says, the link as ""
}

// The decoders of streams.
const (
	streamZstd = "stream"
	streamXz   = "stream-xz"
)

// usual is how fast decoders usually are, in bytes of content in a second on a
// slow board. What is known of one tells of the others.
var usual = map[string]float64{
	"xz": 5e6, streamXz: 5e6, "bzip2": 5e6, "gzip": 40e6, "zstd": 50e6, streamZstd: 50e6, "tar": 150e6,
}

// loadRates returns what is remembered; what cannot be read is measured anew.
func loadRates(d *disk.Disk) *rates {
	r := &rates{disk: d}
	if raw, err := d.ReadFile(RatesFile, maxRates); err != nil || json.Unmarshal(raw, r) != nil || !r.sane() {
		*r = rates{disk: d}
	}
	if r.Decode == nil {
		r.Decode = make(map[string]float64)
	}
	r.saved = r.all()
	return r
}

func (r *rates) sane() bool {
	for _, v := range r.all() {
		if v < 0 || v > 1e12 {
			return false
		}
	}
	return true
}

func (r *rates) all() map[string]float64 {
	all := map[string]float64{"": r.Link}
	for decoder, v := range r.Decode {
		all[decoder] = v
	}
	return all
}

// decode returns how fast a decoder is, as far as that is known or can be guessed.
func (r *rates) decode(decoder string) float64 {
	if v := r.Decode[decoder]; v > 0 {
		return v
	}
	if usual[decoder] == 0 {
		decoder = "xz"
	}
	for _, known := range []string{"xz", streamZstd, "zstd", "gzip", streamXz, "bzip2", "tar"} {
		if v := r.Decode[known]; v > 0 {
			return v / usual[known] * usual[decoder]
		}
	}
	return usual[decoder]
}

// with returns what is known when a decoder has been measured, too.
func (r *rates) with(decoder string, v float64) *rates {
	out := &rates{Link: r.Link, Decode: maps.Clone(r.Decode)}
	out.Decode[decoder] = v
	return out
}

// glimpse takes what a small answer tells of the link where nothing else is known.
// It says rather too little.
func (r *rates) glimpse(bytes int64, took time.Duration) {
	if r.Link == 0 && bytes >= 4*enoughBytes {
		r.Link = perSecond(bytes, took)
	}
}

// learn takes what a meter has measured. The link is what it is now; a decoder
// changes little, but for what else the processor has to do.
func (r *rates) learn(m *meter, decoder string, link bool) {
	if v := m.link(); v > 0 && link {
		r.Link = v
	}
	if v := m.decode(); v > 0 {
		if before := r.Decode[decoder]; before > 0 {
			v = (v + before) / 2
		}
		r.Decode[decoder] = v
	}
}

// save writes what has changed so much that it matters. That it cannot be written
// is no reason to stop: it is measured again.
func (r *rates) save() {
	changed := false
	for decoder, v := range r.all() {
		if before := r.saved[decoder]; math.Abs(v-before) > before/10 {
			changed = true
		}
	}
	if !changed {
		return
	}
	if raw, err := json.Marshal(r); err == nil && r.disk.Replace(RatesFile, raw, 0o600) == nil {
		r.saved = r.all()
	}
}
