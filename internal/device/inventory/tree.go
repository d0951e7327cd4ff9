package inventory

import (
	"io"
	"os"
	"path"
	"regexp"

	securejoin "github.com/cyphar/filepath-securejoin"
)

// tree is a directory that is read as if it were the root of a file system: a
// symbolic link in it never leads out. Its methods return the zero value where
// something cannot be read.
type tree string

// maxNames bounds the names that are read of a directory.
const maxNames = 20_000

// resolve returns where name is on this machine, all symbolic links followed.
func (t tree) resolve(name string) (string, bool) {
	p, err := securejoin.SecureJoin(string(t), name)
	return p, err == nil
}

func (t tree) isDir(name string) bool {
	p, ok := t.resolve(name)
	if !ok {
		return false
	}
	info, err := os.Stat(p)
	return err == nil && info.IsDir()
}

func (t tree) isFile(name string) bool {
	p, ok := t.resolve(name)
	if !ok {
		return false
	}
	info, err := os.Stat(p)
	return err == nil && info.Mode().IsRegular()
}

// list returns the names in a directory.
func (t tree) list(name string) []string {
	p, ok := t.resolve(name)
	if !ok {
		return nil
	}
	dir, err := os.Open(p)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxNames)
	return names
}

// link returns the target of the symbolic link at name.
func (t tree) link(name string) string {
	dir, ok := t.resolve(path.Dir(name))
	if !ok {
		return ""
	}
	target, _ := os.Readlink(path.Join(dir, path.Base(name)))
	return target
}

// open opens a regular file. It never blocks, as it would on a pipe.
func (t tree) open(name string) (*os.File, bool) {
	if !t.isFile(name) {
		return nil, false
	}
	p, _ := t.resolve(name)
	f, err := os.Open(p)
	return f, err == nil
}

// read returns the first max bytes of a file.
func (t tree) read(name string, max int64) string {
	f, ok := t.open(name)
	if !ok {
		return ""
	}
	defer f.Close()
	b, _ := io.ReadAll(io.LimitReader(f, max))
	return string(b)
}

// search returns the first submatch of re in the first max bytes of a file. It
// reads by windows that overlap by more than any match is long, so that a
// library need not fit into a small device's memory.
func (t tree) search(name string, max int64, re *regexp.Regexp) string {
	const window, overlap = 128 << 10, 1 << 10
	f, ok := t.open(name)
	if !ok {
		return ""
	}
	defer f.Close()
	r := io.LimitReader(f, max)
	buf := make([]byte, window)
	for have := 0; ; {
		n, err := io.ReadFull(r, buf[have:])
		have += n
		if m := re.FindSubmatch(buf[:have]); m != nil {
			return string(m[1])
		}
		if err != nil {
			return ""
		}
		have = copy(buf, buf[have-overlap:have])
	}
}
