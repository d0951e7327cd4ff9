package budget_test

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
)

// measureAgent measures the size of jamesc and its memory, and that of jamesd
// while it takes packets in.
func measureAgent(b *testing.B, m *machine, t *table) {
	info, err := os.Stat(filepath.Join(m.bin, "jamesc"))
	must(b, err)
	t.add("jamesc on disk, as released", "<= 12 MB", info.Size() <= 12e6, "%.1f MB", float64(info.Size())/1e6)

	s := m.jamesd(b, b.TempDir())
	s.add(b, "small", "agent-1", noise(b, 30e6))
	small := s.memory(b, "VmHWM")
	s.add(b, "large", "agent-1", noise(b, 300e6))
	large := s.memory(b, "VmHWM")
	t.add("jamesd, peak RSS while taking in 300 MB against 30 MB", "constant", large <= 1.25*small, "%.2fx (%.0f MB against %.0f MB)",
		large/small, large*1.024/1000, small*1.024/1000)

	idle, peak := m.agentMemory(b, s, "agent-1", "large")
	t.add("jamesc idle, RSS", "<= 20 MB", idle*1.024 <= 20e3, "%.1f MB", idle*1.024/1000)
	t.add("jamesc, peak RSS while installing 300 MB, not compressed", "<= 64 MB", peak*1.024 <= 64e3, "%.1f MB", peak*1.024/1000)
	if m.tree == nil {
		return
	}
	for _, v := range []struct{ id, what, file string }{
		{"agent-2", "the .deb's archive", m.tree.data},
		{"agent-3", "archive in zstd", m.tree.zstd},
	} {
		s.add(b, "bench", v.id, v.file)
		_, peak := m.agentMemory(b, s, v.id, "bench")
		t.add("jamesc, peak RSS while installing the tree, "+v.what, "<= 64 MB", peak*1.024 <= 64e3, "%.1f MB", peak*1.024/1000)
	}
}

// agentMemory runs an agent, and returns its memory in KiB while its poll is
// held, and at its peak after it has installed a packet.
func (m *machine) agentMemory(b *testing.B, s *server, id, packet string) (idle, peak float64) {
	b.Helper()
	m.device(b, id)
	p := start(b, m.jamesc(s, id, b.TempDir()))
	go io.Copy(io.Discard, p.lines)
	eventually(b, "poll of the agent", func() bool {
		_, err := s.admin.Device(b.Context(), id)
		return err == nil
	})
	s.held(b, 1)
	idle = p.memory(b, "VmRSS")
	s.want(b, id, packet)
	eventually(b, "agent in its desired state", func() bool {
		d, err := s.admin.Device(b.Context(), id)
		must(b, err)
		return d.InSync
	})
	peak = p.memory(b, "VmHWM")
	p.cmd.Process.Kill()
	s.held(b, 0)
	return idle, peak
}

// noise returns the plain archive of one file of bytes that do not compress.
func noise(b *testing.B, size int64) string {
	b.Helper()
	dir := b.TempDir()
	must(b, os.Mkdir(dir+"/tree", 0o755))
	f, err := os.Create(dir + "/tree/noise")
	must(b, err)
	_, err = io.CopyN(f, rand.NewChaCha8([32]byte{1}), size)
	must(b, err)
	must(b, f.Close())
	saveArchive(b, dir+"/tree", dir+"/packet.tar", archive.FormatTar)
	return dir + "/packet.tar"
}
