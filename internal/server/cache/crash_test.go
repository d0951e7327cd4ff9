package cache_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// Variables of the process that is killed: its cache, and the entry in whose middle
// it waits for that, or "".
const (
	crashDir  = "CACHE_TEST_CRASH_DIR"
	crashWait = "CACHE_TEST_CRASH_WAIT"
)

// TestCrash kills a process while it makes entries, and checks that the next one
// finds all that was whole, and nothing else.
func TestCrash(t *testing.T) {
	if dir := os.Getenv(crashDir); dir != "" {
		makeUntilKilled(t, dir, os.Getenv(crashWait))
		return
	}
	t.Parallel()
	for _, after := range []int{0, 1, 2, 7, 20} {
		t.Run(fmt.Sprint("in the middle of ", after), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			crash(t, dir, after, strconv.Itoa(after))
			if parts, _ := filepath.Glob(filepath.Join(dir, "*.part")); len(parts) != 1 {
				t.Errorf("the process died with %d entries half made, want 1", len(parts))
			}
			checkAfterCrash(t, dir, after, after)
		})
		t.Run(fmt.Sprint("somewhere after ", after), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			crash(t, dir, after, "")
			checkAfterCrash(t, dir, after, crashEntries)
		})
	}
}

func checkAfterCrash(t *testing.T, dir string, least, most int) {
	t.Helper()
	c := open(t, dir, roomy)
	n := c.Stats().Entries
	if n < least || n > most {
		t.Errorf("%d entries, want %d to %d", n, least, most)
	}
	for i := range n {
		has(t, c, strconv.Itoa(i), crashContent(i))
	}
	lacks(t, c, strconv.Itoa(n))
	if files := entryFiles(t, dir); len(files) != n {
		t.Errorf("%d files are left, want %d", len(files), n)
	}
}

const crashEntries = 1000

func crashContent(i int) []byte { return content(uint64(i), i*7000%90_000+2) }

// crash runs the process until it is in the middle of that entry.
func crash(t *testing.T, dir string, entry int, wait string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrash$")
	cmd.Env = append(os.Environ(), crashDir+"="+dir, crashWait+"="+wait)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe() // nothing is written to it
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if lines.Text() == strconv.Itoa(entry) {
			return
		}
	}
	t.Fatal("the process ended by itself")
}

// makeUntilKilled makes entries and says in the middle of which it is.
func makeUntilKilled(t *testing.T, dir, wait string) {
	c := open(t, dir, roomy)
	for i := range crashEntries {
		p := crashContent(i)
		key := strconv.Itoa(i)
		e, err := c.Fill(t.Context(), key, func(_ context.Context, w io.Writer) error {
			if _, err := w.Write(p[:len(p)/2]); err != nil {
				return err
			}
			fmt.Println(key)
			if key == wait {
				io.Copy(io.Discard, os.Stdin)
			}
			_, err := w.Write(p[len(p)/2:])
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		e.Close()
		c.Quiet()
	}
}
