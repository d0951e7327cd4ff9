// Guest is the first and only program of the virtual machine, besides jamesc: it
// mounts the disks, starts jamesc, and does what it is told over the serial
// console. The scripts of the packets are its second role.
//
// It is told in lines:
//
//	prepare            make what is in an empty root before any packet
//	edit WHAT...       be the administrator, see load.Edit
//	sync               make durable what there is
//	recover            start jamesc without a server, so that it only recovers
//	list               describe the install root
//	agent              start jamesc
//
// and answers in lines that begin with "@". All other lines are jamesc's.
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/trusch/jamesd/internal/e2e/powercut/load"
)

const (
	root     = "/disk"
	stateDir = "var/lib/jamesc"
	// Server is where the machine's network leads to jamesd; nobody is at Nowhere.
	server, nowhere = "10.0.2.100:2761", "127.0.0.1:1"
)

func main() {
	if len(os.Args) > 1 {
		script()
		return
	}
	if err := boot(); err != nil {
		say("failed %v", err)
		power()
	}
	say("mounted")
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		words := strings.Fields(in.Text())
		if len(words) == 0 {
			continue
		}
		if err := obey(words[0], words[1:]); err != nil {
			say("failed %s: %v", in.Text(), err)
		}
	}
	power()
}

// say prints a line for the program outside.
func say(format string, args ...any) {
	os.Stdout.WriteString("@" + fmt.Sprintf(format, args...) + "\n")
}

// power ends the machine.
func power() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	select {}
}

func obey(command string, args []string) error {
	switch command {
	case "prepare":
		if err := load.Prepare(root); err != nil {
			return err
		}
		unix.Sync()
	case "edit":
		for _, what := range args {
			if err := load.Edit(root, what); err != nil {
				return err
			}
		}
		unix.Sync()
	case "sync":
		unix.Sync()
	case "recover":
		return recovered()
	case "list":
		return list()
	case "agent":
		return agent()
	default:
		return fmt.Errorf("is no command")
	}
	say("done %s", command)
	return nil
}

// recovered has jamesc recover, and says what it believes to be installed. That
// it finds no server is as wanted.
func recovered() error {
	say("recovering")
	out, err := jamesc("--once", "--addr", nowhere).CombinedOutput()
	os.Stdout.Write(out)
	if err == nil {
		return fmt.Errorf("jamesc has found a server")
	}
	out, err = exec.Command("/bin/jamesc", "status", "--state-dir", filepath.Join(root, stateDir)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("status: %w: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		say("status %s", strings.TrimSpace(line))
	}
	if err := leftovers(); err != nil {
		return err
	}
	say("recovered")
	return nil
}

// leftovers says how many things are in the parts of the state directory that a
// transaction fills, and how many bytes in its journal.
func leftovers() error {
	for _, dir := range []string{"manifests", "run"} {
		names, err := os.ReadDir(filepath.Join(root, stateDir, dir))
		if err != nil {
			return err
		}
		say("state %s %d", dir, len(names))
	}
	info, err := os.Stat(filepath.Join(root, stateDir, "journal"))
	if err == nil {
		say("state journal %d", info.Size())
	}
	return err
}

// jamesc returns the command of an agent of this device.
func jamesc(args ...string) *exec.Cmd {
	cmd := exec.Command("/bin/jamesc", append([]string{"--install-root", root, "--state-dir", filepath.Join(root, stateDir),
		"--ca", "/pki/ca.crt", "--cert", "/pki/" + argument("device") + ".crt", "--key", "/pki/" + argument("device") + ".key",
		"--system-tags", "powercut", "--poll-interval", "1s", "--retry-first", "1s", "--retry-limit", "2s"}, args...)...)
	cmd.Env = []string{"PATH=/bin", "HOME=/"}
	return cmd
}

// agent starts jamesc and says what it does that its log does not tell.
func agent() error {
	if err := watch(); err != nil {
		return err
	}
	cmd := jamesc("--addr", server)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { say("failed jamesc ended: %v", cmd.Wait()) }()
	say("agent")
	return nil
}

// script is a packet's script; the kernel calls it with the script's file and
// jamesc's argument.
func script() {
	console, err := os.OpenFile("/dev/ttyS0", os.O_WRONLY, 0)
	if err == nil {
		os.Stdout = console
	}
	say("script %s %s", filepath.Base(os.Args[1]), strings.Join(os.Args[2:], " "))
	body, err := os.ReadFile(os.Args[1])
	if err == nil {
		err = load.RunScript(os.Getenv("JAMES_ROOT"), string(body), sleep)
	}
	if err != nil {
		say("failed script %s: %v", os.Args[1], err)
		os.Exit(1)
	}
	say("end of script %s", filepath.Base(os.Args[1]))
}
