package budget_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

// measureInstall compares the whole of an install by jamesc from a jamesd on
// loopback, from its start to its end, with dpkg unpacking the .deb as it is
// published.
func measureInstall(b *testing.B, m *machine, t *table) {
	const what, budget = "whole install against dpkg --unpack of the .deb, ", "<= 0.5x"
	if why := cantUnpack(); why != "" {
		t.skip(what+"xz", budget, why)
		return
	}
	tr := m.theTree(b)
	for _, v := range []struct{ id, what, file string }{
		{"install-1", "the archive that the .deb has", tr.data},
		{"install-2", "archive in zstd", tr.zstd},
	} {
		m.device(b, v.id)
		var theirs, first, later []float64
		for range 3 { // each time a server that has made no stream yet
			s := m.jamesd(b, b.TempDir())
			s.add(b, "bench", v.id, v.file)
			s.want(b, v.id, "bench")
			theirs = append(theirs, unpack(b, tr.deb))
			first = append(first, m.once(b, s, v.id))
			later = append(later, m.once(b, s, v.id))
			s.stop()
		}
		for _, d := range []struct {
			which string
			ours  []float64
		}{{"first device", first}, {"later device", later}} {
			ratio := ratioOf(d.ours, theirs)
			t.add(what+v.what+", "+d.which, budget, ratio <= 0.5, "%.2fx (%.2f s against %.2f s)", ratio, median(d.ours), median(theirs))
		}
	}
}

// device makes the certificate of a device.
func (m *machine) device(b *testing.B, id string) {
	b.Helper()
	must(b, pki.AddClient(m.pki, id))
}

// add uploads an archive; the device's id is its tag.
func (s *server) add(b *testing.B, name, id, file string) {
	b.Helper()
	f, err := os.Open(file)
	must(b, err)
	defer f.Close()
	_, err = s.admin.AddPacket(b.Context(), james.AddPacketRequest{Name: name, Tags: james.MustTags(id)}, f)
	must(b, err)
}

// want makes the packet the desired state of the device.
func (s *server) want(b *testing.B, id, name string) {
	b.Helper()
	state := james.State{ID: id, Apps: []james.App{{Name: name, Tags: james.MustTags(id)}}}
	_, err := s.admin.SetDesired(b.Context(), james.SetDesiredRequest{State: state, Force: true})
	must(b, err)
}

// jamesc is the command of an agent with a root and a state below dir.
func (m *machine) jamesc(s *server, id, dir string, more ...string) *exec.Cmd {
	args := []string{"--addr", s.addr, "--ca", m.pki + "/ca.crt", "--cert", fmt.Sprintf("%s/%s.crt", m.pki, id), "--key", fmt.Sprintf("%s/%s.key", m.pki, id),
		"--install-root", filepath.Join(dir, "root"), "--state-dir", filepath.Join(dir, "state"), "--system-tags", "bench"}
	return exec.Command(filepath.Join(m.bin, "jamesc"), append(args, more...)...)
}

// once lets a new device of that id come into its desired state.
func (m *machine) once(b *testing.B, s *server, id string) float64 {
	b.Helper()
	dir := b.TempDir()
	return timed(func() { run(b, m.jamesc(s, id, dir, "--once")) })
}
