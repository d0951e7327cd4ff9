package agent_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/device/agent"
	"github.com/trusch/jamesd/pkg/james"
)

// own is an agent's executable in an install root, with a link that leads to it.
func own(t *testing.T) *agent.Self {
	t.Helper()
	root := t.TempDir()
	s := &agent.Self{Root: root, Executable: filepath.Join(root, "opt/jamesc"), Program: filepath.Join(root, "bin/jamesc"),
		Run: func(ctx context.Context, file string, args ...string) ([]byte, error) {
			return exec.CommandContext(ctx, file, args...).CombinedOutput()
		}}
	for _, dir := range []string{"opt", "bin"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.Executable, "old")
	if err := os.Symlink("../opt/jamesc", s.Program); err != nil {
		t.Fatal(err)
	}
	if err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	return s
}

// write puts a new file in place of another, as an install does.
func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file+".new", []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

func TestFate(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		change  func(t *testing.T, s *agent.Self)
		fate    agent.Fate
		restart string // below the root
	}{
		"nothing":          {change: func(*testing.T, *agent.Self) {}, fate: agent.Kept},
		"another file":     {change: func(t *testing.T, s *agent.Self) { write(t, s.Executable, "new") }, fate: agent.Replaced, restart: "bin/jamesc"},
		"the same content": {change: func(t *testing.T, s *agent.Self) { write(t, s.Executable, "old") }, fate: agent.Replaced, restart: "bin/jamesc"},
		"a link to another directory": {fate: agent.Replaced, restart: "bin/jamesc", change: func(t *testing.T, s *agent.Self) {
			os.Mkdir(filepath.Join(s.Root, "opt2"), 0o755)
			write(t, filepath.Join(s.Root, "opt2/jamesc"), "new")
			os.Remove(s.Program)
			os.Symlink("../opt2/jamesc", s.Program)
			os.Remove(s.Executable)
		}},
		"the link is gone": {fate: agent.Kept, change: func(t *testing.T, s *agent.Self) { os.Remove(s.Program) }},
		"all is gone": {fate: agent.Removed, change: func(t *testing.T, s *agent.Self) {
			os.Remove(s.Program)
			os.Remove(s.Executable)
		}},
		"a link to nothing": {fate: agent.Removed, change: func(t *testing.T, s *agent.Self) { os.Remove(s.Executable) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := own(t)
			tc.change(t, s)
			fate, file := s.Fate()
			if tc.restart != "" {
				tc.restart = filepath.Join(s.Root, tc.restart)
			}
			if fate != tc.fate || file != tc.restart {
				t.Errorf("fate is %s %q, want %s %q", fate, file, tc.fate, tc.restart)
			}
		})
	}
}

func TestFateOfNobody(t *testing.T) {
	t.Parallel()
	var s *agent.Self
	if fate, _ := s.Fate(); fate != agent.Kept {
		t.Errorf("fate is %s", fate)
	}
	s = &agent.Self{Executable: filepath.Join(t.TempDir(), "nix")}
	if err := s.Begin(); james.KindOf(err) != james.KindNotFound {
		t.Errorf("error is %v", err)
	}
}

// The new jamesc is tried before anything changes.
func TestNewExecutableIsTried(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path    james.Path
		content string
		link    string
		refused string
	}{
		"one that runs":              {path: "opt/jamesc", content: "#!/bin/sh\n[ \"$1\" = version ] && echo jamesc commit 1234\n"},
		"one that fails":             {path: "opt/jamesc", content: "#!/bin/sh\necho lib missing >&2\nexit 127\n", refused: "lib missing"},
		"another program":            {path: "opt/jamesc", content: "#!/bin/sh\nexit 0\n", refused: "does not say that it is jamesc"},
		"one for another machine":    {path: "opt/jamesc", content: "\x7fELF\x02\x02\x01 not of this world", refused: "exec format error"},
		"a file in the link's place": {path: "bin/jamesc", content: "#!/bin/sh\nexit 1\n", refused: "exit status 1"},
		"a link":                     {path: "bin/jamesc", link: "../opt/other"},
		"a file of another path":     {path: "opt/other", content: "#!/bin/sh\nexit 1\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := own(t)
			staged := filepath.Join(s.Root, ".staged")
			if tc.link != "" {
				os.Symlink(tc.link, staged)
			} else {
				write(t, staged, tc.content)
			}
			p := newPacket(t, "jamesc", "v2", 10)
			d := newDevice(t, newServer(p))
			d.installer.staged = map[james.Path]string{tc.path: staged}
			d.options = func(o *agent.Options) { o.Self = s }
			d.server.want(p)
			err := d.boot().Once(context.Background())
			if tc.refused == "" {
				if err != nil {
					t.Errorf("error is %v", err)
				}
				return
			}
			var failed *agent.PlanError
			if !errors.As(err, &failed) || failed.Report.Result != james.Refused || !strings.Contains(err.Error(), tc.refused) {
				t.Errorf("error is %v, want a refusal that says %q", err, tc.refused)
			}
		})
	}
}

func TestNewExecutableThatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := own(t)
		s.Run = func(ctx context.Context, _ string, _ ...string) ([]byte, error) {
			<-ctx.Done()
			return nil, errors.New("signal: killed")
		}
		p := newPacket(t, "jamesc", "v2", 10)
		d := newDevice(t, newServer(p))
		d.installer.staged = map[james.Path]string{"opt/jamesc": s.Executable}
		d.options = func(o *agent.Options) { o.Self = s }
		d.server.want(p)
		began := time.Now()
		if err := d.boot().Once(context.Background()); err == nil || time.Since(began) != 10*time.Second {
			t.Errorf("took %s: %v", time.Since(began), err)
		}
	})
}

func TestAgentThatReplacesItself(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		remove    bool
		noReports bool
		fate      agent.Fate
		reports   int
	}{
		"replaced": {fate: agent.Replaced, reports: 1},
		"replaced while the server takes nothing": {fate: agent.Replaced, noReports: true},
		"removed": {fate: agent.Removed, remove: true, reports: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := newPacket(t, "jamesc", "v2", 10)
				s := newServer(p)
				d := newDevice(t, s)
				self := own(t)
				d.options = func(o *agent.Options) { o.Self = self }
				d.installer.after = func() {
					if os.Remove(self.Executable); !tc.remove {
						write(t, self.Executable, "new")
					}
				}
				if tc.noReports {
					s.noReports = unreachable
				}
				s.want(p)
				if fate := d.boot().Run(context.Background()); fate != tc.fate {
					t.Errorf("fate is %s, want %s", fate, tc.fate)
				}
				if len(s.reports) != tc.reports || len(d.memory().Pending) != 1-tc.reports {
					t.Errorf("%d reports, %d kept", len(s.reports), len(d.memory().Pending))
				}
			})
		})
	}
}

// An agent that is to stop does so, whatever has become of its executable.
func TestAgentThatReplacesItselfAndIsToStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "jamesc", "v2", 10)
		d := newDevice(t, newServer(p))
		self := own(t)
		d.options = func(o *agent.Options) { o.Self = self }
		ctx, cancel := context.WithCancel(context.Background())
		d.installer.after = func() {
			os.Remove(self.Executable)
			write(t, self.Executable, "new")
			cancel()
		}
		d.server.want(p)
		if fate := d.boot().Run(ctx); fate != agent.Kept || len(d.installer.Apps()) != 1 {
			t.Errorf("fate is %s, installed is %v", fate, d.installer.Apps())
		}
	})
}

// An agent that is removed has nobody who would deliver its last report later.
func TestAgentThatRemovesItselfDeliversItsReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := newPacket(t, "jamesc", "v2", 10)
		s := newServer(p)
		d := newDevice(t, s)
		self := own(t)
		d.options = func(o *agent.Options) { o.Self = self }
		d.installer.after = func() { os.Remove(self.Executable) }
		s.noReports = unreachable
		s.want(p)
		ended := make(chan agent.Fate)
		go func() { ended <- d.boot().Run(context.Background()) }()
		d.pass(time.Hour)
		s.set(func() { s.noReports = nil })
		if fate := <-ended; fate != agent.Removed || len(s.reports) != 1 {
			t.Errorf("fate is %s after %d reports", fate, len(s.reports))
		}
	})
}
