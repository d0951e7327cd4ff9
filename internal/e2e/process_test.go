package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"
)

// process is one program in the background. Its output is collected line by
// line.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error

	mu    sync.Mutex
	out   bytes.Buffer
	grown chan struct{} // closed and renewed with every line and at the end
}

func (p *process) collect(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		p.mu.Lock()
		p.out.Write(lines.Bytes())
		p.out.WriteByte('\n')
		close(p.grown)
		p.grown = make(chan struct{})
		p.mu.Unlock()
	}
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// await returns the submatches of the first count-th match of re in the output.
func (p *process) await(re *regexp.Regexp, count int) ([]string, error) {
	limit := time.After(patience)
	for {
		p.mu.Lock()
		found, grown := re.FindAllStringSubmatch(p.out.String(), count), p.grown
		p.mu.Unlock()
		if len(found) >= count {
			return found[count-1], nil
		}
		select {
		case <-grown:
		case <-p.done:
			if found := re.FindAllStringSubmatch(p.output(), count); len(found) >= count {
				return found[count-1], nil
			}
			return nil, fmt.Errorf("it ended (%v) without printing %s; it printed:\n%s", p.err, re, p.output())
		case <-limit:
			return nil, fmt.Errorf("it did not print %s within %s; it printed:\n%s", re, patience, p.output())
		}
	}
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) error {
	if p.ended() {
		return nil
	}
	return p.cmd.Process.Signal(s)
}

func (p *process) wait() error {
	select {
	case <-p.done:
		return p.err
	case <-time.After(patience):
		p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("it did not end within %s", patience)
	}
}
