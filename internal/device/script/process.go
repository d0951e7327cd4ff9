package script

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// process is what /proc tells of a process.
type process struct {
	pid, parent, group, session int
	name                        string
	dead                        bool   // a zombie: only its parent can remove it
	born                        uint64 // ticks since the system started
}

func (p process) String() string { return fmt.Sprintf("%d (%s)", p.pid, p.name) }

// processes returns all processes that this one can see.
func processes() []process {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var all []process
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid); ok {
			all = append(all, p)
		}
	}
	return all
}

func readProcess(pid int) (p process, ok bool) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, false
	}
	from, to := bytes.IndexByte(raw, '('), bytes.LastIndexByte(raw, ')') // a name may have blanks and brackets
	if from < 0 || to < from {
		return p, false
	}
	fields := strings.Fields(string(raw[to+1:]))
	if len(fields) < 20 {
		return p, false
	}
	p = process{pid: pid, name: string(raw[from+1 : to]), dead: fields[0] == "Z" || fields[0] == "X"}
	for n, to := range []*int{&p.parent, &p.group, &p.session} {
		if *to, err = strconv.Atoi(fields[n+1]); err != nil {
			return p, false
		}
	}
	p.born, err = strconv.ParseUint(fields[19], 10, 64)
	return p, err == nil
}

// marked reports whether the process was started with that variable.
func (p process) marked(variable string) bool {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	return err == nil && slices.Contains(strings.Split(string(raw), "\x00"), variable)
}

// signal sends a signal to the process, and to no other that got its number.
func (p process) signal(s os.Signal) {
	handle, err := os.FindProcess(p.pid)
	if err != nil {
		return
	}
	defer handle.Release()
	if now, ok := readProcess(p.pid); ok && now.born == p.born {
		_ = handle.Signal(s) // it may have ended
	}
}
