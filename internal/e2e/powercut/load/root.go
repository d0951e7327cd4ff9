package load

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// links are the symbolic links of a new root that lead to directories.
var links = map[string]string{"lib": "usr/lib", "var/run": "/run"}

// Late is the path of a file that belongs to nobody, until base v2 takes it over.
const Late = "usr/share/late"

// Noise is a directory into which scripts write, and that does not count.
const Noise = "var/noise"

// Prepare makes in an empty root what is there before any packet.
func Prepare(root string) error {
	for _, d := range []string{"usr/lib", "usr/bin", "usr/share", "etc/base", "opt", "srv", "run", "var/lib", Noise} {
		if err := os.MkdirAll(filepath.Join(root, d), 0o755); err != nil {
			return err
		}
	}
	for link, to := range links {
		if err := os.Symlink(to, filepath.Join(root, link)); err != nil {
			return err
		}
	}
	for n := range 20 {
		if err := os.WriteFile(filepath.Join(root, fmt.Sprintf("usr/share/theirs%02d", n)), content(fmt.Sprint("theirs", n), 3000*n), 0o640); err != nil {
			return err
		}
	}
	return age(root)
}

// age gives everything below root an old time of its own, so that every touch
// shows.
func age(root string) error {
	var paths []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.Name() == "lost+found" {
			return fs.SkipDir
		}
		paths = append(paths, path)
		return err
	})
	for n, path := range slices.Backward(paths) {
		if err == nil {
			err = setTime(path, begin.Unix()-int64(n)*3600)
		}
	}
	return err
}

func setTime(path string, seconds int64) error {
	ts := unix.NsecToTimespec(seconds * 1e9)
	return unix.UtimesNanoAt(unix.AT_FDCWD, path, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
}

// Edit does what an administrator does: "edit" changes a configuration file,
// "delete" removes another one, "late" leaves a file where a packet will have one.
func Edit(root, what string) error {
	switch what {
	case "edit":
		return os.WriteFile(filepath.Join(root, "etc/base/edited.conf"), []byte("edited here, and here only\n"), 0o644)
	case "delete":
		return ignoreGone(os.Remove(filepath.Join(root, "etc/base/deleted.conf")))
	case "late":
		return os.WriteFile(filepath.Join(root, Late), []byte("nobody's\n"), 0o600)
	}
	return fmt.Errorf("unknown edit %q", what)
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// RunScript carries a script's lines out in the root:
//
//	wait MILLISECONDS   does nothing for a while
//	write PATH CONTENT  makes a file, durably
//	remove PATH         removes it, durably
//	noise BYTES         writes that many bytes to a file, and not durably
func RunScript(root, body string, wait func(milliseconds int)) error {
	for line := range strings.Lines(body) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(line, "#") {
			continue
		}
		if err := runLine(root, words, wait); err != nil {
			return fmt.Errorf("%q: %w", strings.TrimSpace(line), err)
		}
	}
	return nil
}

func runLine(root string, words []string, wait func(int)) error {
	var n int
	switch {
	case words[0] == "write" && len(words) == 3:
		return writeMarker(filepath.Join(root, words[1]), words[2])
	case words[0] == "remove" && len(words) == 2:
		return removeMarker(filepath.Join(root, words[1]))
	case len(words) != 2:
		return fmt.Errorf("is no command")
	}
	if _, err := fmt.Sscan(words[1], &n); err != nil {
		return err
	}
	switch words[0] {
	case "wait":
		wait(n)
		return nil
	case "noise":
		return os.WriteFile(filepath.Join(root, Noise, words[1]), content(words[1], n), 0o644)
	}
	return fmt.Errorf("is no command")
}

func writeMarker(path, content string) error {
	if err := os.WriteFile(path+".tmp", []byte(content), 0o644); err != nil {
		return err
	}
	if err := setTime(path+".tmp", begin.Unix()); err != nil {
		return err
	}
	if err := syncFile(path + ".tmp"); err != nil {
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	return syncFile(filepath.Dir(path))
}

// removeMarker removes also what a writeMarker left that was cut off.
func removeMarker(path string) error {
	for _, name := range []string{path, path + ".tmp"} {
		if err := ignoreGone(os.Remove(name)); err != nil {
			return err
		}
	}
	return syncFile(filepath.Dir(path))
}

func syncFile(path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	return file.Sync()
}
