package budget_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// BenchmarkFleet prints what one jamesd does for a large fleet, which jamesd-sim is in
// processes of its own. docs/sizing.md says what each row is. Like BenchmarkBudgets it
// measures once.
func BenchmarkFleet(b *testing.B) {
	m := newMachine(b)
	t := &table{}
	b.Cleanup(func() { t.print(os.Stdout) })
	b.Run("waiting", func(b *testing.B) { measureWaiting(b, m, t) })
	b.Run("storm", func(b *testing.B) { measureStorm(b, m, t) })
	b.Run("polling", func(b *testing.B) { measurePolling(b, m, t) })
	b.Run("several", func(b *testing.B) { measureSeveral(b, m, t) })
}

// fleetApp is what all devices of a fleet have, committed the metric of the plans that
// they have carried out.
const (
	fleetApp  = "fleet-app"
	committed = `jamesd_reports_total{result="committed"}`
)

// measureWaiting has a fleet wait at a jamesd that knows nothing else, changes what one
// of some more devices shall have, then what all have.
func measureWaiting(b *testing.B, m *machine, t *table) {
	n, db := min(deviceCount, openFiles(b)-1000), b.TempDir()
	s := m.jamesd(b, db)
	data := func(text string) *bytes.Reader {
		tree := b.TempDir()
		must(b, writeFile(tree+"/opt/app", []byte(text)))
		raw, err := io.ReadAll(buildArchive(b, tree, archive.FormatTar))
		must(b, err)
		return bytes.NewReader(raw)
	}
	for _, tags := range []string{"all", "one,v1", "one,v2"} {
		_, err := s.admin.AddPacket(b.Context(), james.AddPacketRequest{Name: fleetApp, Tags: james.MustTags(tags)}, data("old"))
		must(b, err)
	}
	before, goroutines := s.memory(b, "VmRSS"), s.metric(b, "go_goroutines")
	fleet := m.fleet(b, s.addr, "all", n, "--duration", "0", "--boot", "20s", "--interval", "5m", "--want", fleetApp+" all")
	s.waiting(b, n)
	rss := s.memory(b, "VmRSS")
	each := (rss - before) * 1.024 / float64(n)
	t.add("held polls: RSS of jamesd for each", "<= 60 KB", each <= 60, "%.1f KB, %d held (%.0f MB, %.0f MB before them)", each, n, rss*1.024/1000, before*1.024/1000)

	t.changeOne(b, m, s)
	s.waiting(b, n)
	reports := s.metric(b, committed)
	begun := time.Now()
	_, err := s.admin.AddPacket(b.Context(), james.AddPacketRequest{Name: fleetApp, Tags: james.MustTags("all"), Replace: true}, data("new"))
	must(b, err)
	eventually(b, "that all have reported", func() bool { return s.metric(b, committed) >= reports+float64(n) })
	s.waiting(b, n)
	s.profile(b, t)

	out := fleet.end(b)
	wave := out.largestWave(begun)
	took := wave.Last.Sub(begun)
	t.add("held polls: one change reaches all within", "<= 2 s", wave.Devices >= n && took <= 2*time.Second, "%.2f s, %d devices", took.Seconds(), wave.Devices)

	s.held(b, 0)
	eventually(b, "goroutines as few as before", func() bool { return s.metric(b, "go_goroutines") <= goroutines+10 })
	t.add("held polls: goroutines of jamesd when all have left", "as before", true, "%.0f, %.0f before the fleet came", s.metric(b, "go_goroutines"), goroutines)
	s.stop()
}

// changeOne has desired states of single devices changed, beside those that wait.
func (t *table) changeOne(b *testing.B, m *machine, s *server) {
	out := m.fleet(b, s.addr, "one", 100, "--duration", "25s", "--boot", "2s", "--want", fleetApp+" one,v1", "--want", fleetApp+" one,v2", "--change-every", "100ms").outcome(b)
	c := out.time(b, "change of one until its plan")
	t.add("held polls: a set-desired-state reaches its device", "< 50 ms", c.P50 < 50, "%.1f ms median, %.0f ms p99, %.0f ms at most, of %d", c.P50, c.P99, c.Max, c.Count)
}

// profile notes the locks that were waited for most, where jamesd says that.
func (s *server) profile(b *testing.B, t *table) {
	const what = "held polls: locks waited for"
	url := "http://" + s.metrics + "/debug/pprof/mutex"
	resp, err := http.Get(url)
	must(b, err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.skip(what, "-", "this jamesd has no profiles")
		return
	}
	// Only frames of these are shown, so a time is that of the innermost of them.
	out, err := exec.Command("go", "tool", "pprof", "-top", "-show=trusch/jamesd|sirupsen/logrus", "-nodecount=4", url).Output()
	must(b, err)
	var top []string
	for line := range strings.Lines(string(out)) { // flat flat% sum% cum cum% NAME
		f := strings.Fields(line)
		if len(f) > 5 && strings.HasSuffix(f[4], "%") {
			top = append(top, fmt.Sprintf("%s %s", f[0], filepath.Base(f[5])))
		}
	}
	t.note(what, "%s", strings.Join(append(top, fmt.Sprintf("in %.0f s", time.Since(s.begun).Seconds())), ", "))
}

// manyDevices is how many devices poll.
const manyDevices = 100_000

// measurePolling starts a jamesd with a large fleet.
func measurePolling(b *testing.B, m *machine, t *table) {
	db := load(b, manyDevices)
	begun := time.Now()
	s := m.jamesd(b, db)
	ready := time.Since(begun)
	rss := s.memory(b, "VmRSS")
	scale := fmt.Sprintf("%d devices, %d packets: ", manyDevices, packetCount)
	t.add(scale+"ready after", "< 10 s", ready < 10*time.Second, "%.1f s", ready.Seconds())
	t.note(scale+"RSS of jamesd for each device", "%.1f KB (%.0f MB)", rss*1.024/manyDevices, rss*1.024/1000)
	t.rate(b, s.addr, m.empty(b), newIssuer(b, m))
	s.stop()
}

// simulated is a jamesd-sim.
type simulated struct {
	cmd  *exec.Cmd
	file string // of what it prints
}

// fleet starts n devices at a jamesd.
func (m *machine) fleet(b *testing.B, addr, prefix string, n int, more ...string) *simulated {
	b.Helper()
	f := &simulated{file: filepath.Join(b.TempDir(), prefix+".json")}
	out, err := os.Create(f.file)
	must(b, err)
	defer out.Close()
	f.cmd = exec.Command(filepath.Join(m.bin, "jamesd-sim"), append([]string{"--addr", addr, "--ca", m.pki + "/ca.crt", "--ca-key", m.pki + "/ca.key",
		"--devices", strconv.Itoa(n), "--prefix", prefix, "-o", "json"}, more...)...)
	f.cmd.Stdout, f.cmd.Stderr = out, os.Stderr
	f.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(b, f.cmd.Start())
	b.Cleanup(func() { f.cmd.Process.Kill() })
	return f
}

// simOutcome is what jamesd-sim prints, as far as it is looked at here.
type simOutcome struct {
	Begun time.Time   `json:"begun"`
	Times []simTime   `json:"times"`
	Waves []simWave   `json:"waves"`
	Line  []simSample `json:"timeline"`
	// Errors are how many there were of each kind.
	Errors map[string]int `json:"errors"`
}

type simTime struct {
	What  string  `json:"what"`
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

type simWave struct {
	Devices int       `json:"devices"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
}

type simSample struct {
	Seconds float64 `json:"seconds"`
	Full    int     `json:"handshakes_full"`
	Resumed int     `json:"handshakes_resumed"`
	Polls   int     `json:"polls"`
	Errors  int     `json:"errors"`
}

// end ends the fleet and returns what it measured.
func (f *simulated) end(b *testing.B) *simOutcome {
	b.Helper()
	must(b, f.cmd.Process.Signal(os.Interrupt))
	return f.outcome(b)
}

// outcome waits for the fleet's end and returns what it measured.
func (f *simulated) outcome(b *testing.B) *simOutcome {
	b.Helper()
	must(b, f.cmd.Wait())
	raw, err := os.ReadFile(f.file)
	must(b, err)
	var out simOutcome
	must(b, json.Unmarshal(raw, &out))
	return &out
}

// time returns how long something took.
func (o *simOutcome) time(b *testing.B, what string) simTime {
	b.Helper()
	for _, t := range o.Times {
		if t.What == what {
			return t
		}
	}
	b.Fatalf("%q was not measured", what)
	return simTime{}
}

// largestWave returns the one with most devices of those that began after a time.
func (o *simOutcome) largestWave(begun time.Time) (largest simWave) {
	for _, w := range o.Waves {
		if w.First.After(begun) && w.Devices > largest.Devices {
			largest = w
		}
	}
	return largest
}

// at returns how it stood last before a time.
func (o *simOutcome) at(when time.Time) (last simSample) {
	for _, s := range o.Line {
		if s.Seconds <= when.Sub(o.Begun).Seconds() {
			last = s
		}
	}
	return last
}

// waiting waits until the polls of n devices are held, but for those whose turn it is
// just then.
func (s *server) waiting(b *testing.B, n int) {
	b.Helper()
	eventually(b, fmt.Sprintf("%d held polls", n), func() bool { return s.metric(b, "jamesd_polls_held") >= float64(n-n/500) })
}

// metric returns one of the server's numbers.
func (s *server) metric(b *testing.B, name string) float64 {
	b.Helper()
	resp, err := http.Get("http://" + s.metrics + "/metrics")
	must(b, err)
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	must(b, err)
	found := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(raw)
	if found == nil {
		b.Fatalf("the server has no %s", name)
	}
	n, err := strconv.ParseFloat(string(found[1]), 64)
	must(b, err)
	return n
}
