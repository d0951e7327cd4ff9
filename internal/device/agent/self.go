package agent

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Fate says what a plan did to the agent's own executable.
type Fate string

// The fates.
const (
	Kept     Fate = "kept"
	Replaced Fate = "replaced" // another file is in its place
	Removed  Fate = "removed"  // nothing is in its place
)

// Self watches over the agent's own executable: a packet may contain jamesc, and
// a device whose agent does not start is lost.
type Self struct {
	// Program is the path by which the agent was called and Executable that of
	// its file; they differ where a symbolic link leads to it.
	Program, Executable string
	// Root is the install root, an absolute path.
	Root string
	// Run runs a program and returns the beginning of what it printed.
	Run func(ctx context.Context, file string, args ...string) ([]byte, error)

	was  fs.FileInfo
	file *os.File // open, so that no new file can get its number
}

// Begin notes the executable as it is now. Without a file, as where /proc is not
// mounted, there is nothing to watch over.
func (s *Self) Begin() error {
	file, err := os.Open(s.Executable)
	if err != nil {
		return james.Errorf(james.KindNotFound, s.Executable, "own executable: %w", err)
	}
	s.file = file
	s.was, err = file.Stat()
	return err
}

// tryLimit is how long a new jamesc may take to say its version.
const tryLimit = 10 * time.Second

// check refuses a plan that puts something in the place of the executable that
// does not run on this device as jamesc does.
func (s *Self) check(ctx context.Context, staged func(james.Path) (file string, ok bool)) error {
	for _, own := range s.paths() {
		file, ok := staged(own)
		if !ok {
			continue
		}
		if info, err := os.Lstat(file); err != nil || info.Mode()&fs.ModeSymlink != 0 {
			continue // the link's target is checked where it is staged, too
		}
		if err := s.try(ctx, own, file); err != nil {
			return err
		}
	}
	return nil
}

func (s *Self) try(ctx context.Context, own james.Path, file string) error {
	ctx, cancel := context.WithTimeout(ctx, tryLimit)
	defer cancel()
	out, err := s.Run(ctx, file, "version")
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && !bytes.HasPrefix(out, []byte("jamesc ")):
		err = errors.New("it does not say that it is jamesc")
	}
	if err == nil {
		return nil
	}
	return james.Errorf(james.KindInvalid, own.String(), "the new jamesc does not run on this device: %w: %s", err, firstLine(out)).
		WithHint("upload a packet whose jamesc is built for this machine")
}

func firstLine(b []byte) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(b[:min(len(b), 300)])), "\n")
	return line
}

// paths returns where in the install root the executable is.
func (s *Self) paths() []james.Path {
	var paths []james.Path
	for _, file := range []string{s.Program, s.Executable} {
		rel, err := filepath.Rel(s.Root, file)
		if file == "" || err != nil {
			continue
		}
		if p, err := james.ParsePath(rel); err == nil && (len(paths) == 0 || paths[0] != p) {
			paths = append(paths, p)
		}
	}
	return paths
}

// Fate returns what became of the executable since Begin, and where the one to
// start instead is.
func (s *Self) Fate() (Fate, string) {
	if s == nil || s.was == nil {
		return Kept, ""
	}
	fate := Removed
	for _, file := range []string{s.Program, s.Executable} {
		info, err := os.Stat(file)
		if err != nil {
			continue
		}
		if !os.SameFile(info, s.was) {
			return Replaced, file
		}
		fate = Kept
	}
	return fate, ""
}
