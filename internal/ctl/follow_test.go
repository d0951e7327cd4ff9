package ctl_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/ctl"
)

// lines hands over what is written to it, line by line.
type lines chan string

func (l lines) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		l <- string(line)
	}
	return len(b), nil
}

func TestFollowEvents(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"table", "json"} {
		w := newWorld(t)
		w.add("v1", "one")
		ctx, cancel := context.WithCancel(t.Context())
		out, ended := make(lines, 1000), make(chan int)
		p, _ := w.process(strings.NewReader(""), []string{"events", "--follow", "-o", format})
		p.Out = out
		go func() { ended <- ctl.Run(ctx, p, nil) }()
		await := func(word string) {
			t.Helper()
			for {
				select {
				case line := <-out:
					if strings.Contains(line, word) {
						return
					}
				case code := <-ended:
					t.Fatalf("it ended with %d before it printed %q", code, word)
				}
			}
		}
		await("packet-added")
		w.device()
		await("device-seen")
		cancel()
		if code := <-ended; code != 0 {
			t.Errorf("%s: it ended with %d", format, code)
		}
	}
}
