package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trusch/jamesd/internal/e2e/mongodtest"
)

// commands are what scripts may say beside testscript's own words.
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"jamesd":  cmdJamesd,
	"jamesc":  cmdJamesc,
	"end":     cmdEnd,
	"crash":   cmdCrash,
	"awaits":  cmdAwaits,
	"prints":  cmdPrints,
	"try":     cmdTry,
	"exits":   cmdExits,
	"fill":    cmdFill,
	"limited": cmdLimited,
	"proxy":   cmdProxy,
	"carried": cmdCarried,
	"resets":  cmdResets,
	"arch":    cmdArch,
	"build":   cmdBuild,
	"runs":    cmdRuns,
	"mongo":   cmdMongo,
	"site":    cmdSite,
	"sent":    cmdSent,
	"get":     cmdGet,
	"fleet":   cmdFleet,
	"metrics": cmdMetrics,
}

// cmdJamesd starts a server: `jamesd NAME [FLAG...]`. It takes the store in $DB,
// the certificate pki/server.crt, a cache directory and a free loopback port, waits until it is
// ready (one of the name lost: until it listens), and puts its address into $ADDR_NAME and $JAMESD_ADDR, and that of its
// metrics into $METRICS. Started again under the same name it takes the same port.
func cmdJamesd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: jamesd NAME [FLAG...]")
	}
	w, name := worldOf(ts), args[0]
	addr := w.addr[name]
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	pki := func(file string) string { return ts.MkAbs(filepath.Join("pki", file)) }
	p := w.start(ts, name, "jamesd", append([]string{"--db", ts.Getenv("DB"), "--addr", addr, "--metrics-addr", "127.0.0.1:0", "--cache-dir", ts.MkAbs(name + ".cache"),
		"--ca", pki("ca.crt"), "--cert", pki("server.crt"), "--key", pki("server.key"), "--log-level", "debug"}, args[1:]...)...)
	got, err := p.await(regexp.MustCompile(`msg="?listening"?.*? addr="?(127\.0\.0\.1:\d+)"?`), 1)
	var metrics []string
	if err == nil {
		metrics, err = p.await(regexp.MustCompile(`msg="metrics listening".*? addr="?(127\.0\.0\.1:\d+)"?`), 1)
	}
	if err == nil && name != "lost" {
		_, err = p.await(regexp.MustCompile(`msg=ready`), 1)
	}
	if err != nil {
		ts.Fatalf("jamesd %s: %v", name, err)
	}
	w.addr[name] = got[1]
	ts.Setenv("ADDR_"+name, got[1])
	ts.Setenv("JAMESD_ADDR", got[1])
	ts.Setenv("METRICS", metrics[1])
}

// cmdJamesc starts an agent in the background: `jamesc ID [FLAG...]`, with the
// certificate pki/ID.crt, the install root ID.root and the state in ID.state.
// The address is $JAMESD_ADDR unless --addr is given. `exec jamesc` is the way
// to run one in the foreground.
func cmdJamesc(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: jamesc ID [FLAG...]")
	}
	w := worldOf(ts)
	argv := append(w.jamescOf(args[0]), agentArgs(ts, args[0], args[1:])...)
	w.start(ts, args[0], argv[0], argv[1:]...)
}

// jamescOf returns the command that runs the agent of a device.
func (w *world) jamescOf(id string) []string {
	if argv := w.arch[id]; argv != nil {
		return slices.Clone(argv)
	}
	return []string{filepath.Join(binDir, "jamesc")}
}

// cmdArch gives a device a processor: `arch ID GOARCH[,GOARM]`. Its jamesc is
// built for it and runs under qemu-user.
func cmdArch(ts *testscript.TestScript, neg bool, args []string) {
	arch, arm, _ := strings.Cut(args[1], ",")
	emulator, err := lookQemu(arch)
	ts.Check(err)
	file := filepath.Join(binDir, "jamesc-"+arch+arm)
	buildJamesc(ts, file, "", "GOARCH="+arch, "GOARM="+arm)
	worldOf(ts).arch[args[0]] = []string{emulator, file}
}

// cmdBuild makes a jamesc that says it is of another commit: `build FILE
// COMMIT`.
func cmdBuild(ts *testscript.TestScript, neg bool, args []string) {
	file := filepath.Join(binDir, "jamesc-"+args[1])
	buildJamesc(ts, file, args[1])
	raw, err := os.ReadFile(file)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), raw, 0o755))
}

// cmdRuns says which file is the jamesc of a device: `runs ID FILE`.
func cmdRuns(ts *testscript.TestScript, neg bool, args []string) {
	worldOf(ts).arch[args[0]] = []string{ts.MkAbs(args[1])}
}

// buildJamesc builds jamesc once for all scripts.
func buildJamesc(ts *testscript.TestScript, file, commit string, env ...string) {
	crossMu.Lock()
	defer crossMu.Unlock()
	if exists(file) {
		return
	}
	build := exec.Command("go", "build", "-ldflags", "-X github.com/trusch/jamesd/internal/version.commit="+commit, "-o", file, "./cmd/jamesc")
	build.Dir = "../.."
	build.Env = append(append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux"), env...)
	if out, err := build.CombinedOutput(); err != nil {
		ts.Fatalf("cannot build %s: %v\n%s", filepath.Base(file), err, out)
	}
}

var crossMu sync.Mutex

// lookQemu finds the user-mode emulator of a GOARCH.
func lookQemu(arch string) (string, error) {
	name := map[string]string{"arm": "qemu-arm", "arm64": "qemu-aarch64"}[arch]
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(name + "-static")
}

func agentArgs(ts *testscript.TestScript, id string, more []string) []string {
	return append([]string{"--addr", ts.Getenv("JAMESD_ADDR"), "--ca", ts.MkAbs("pki/ca.crt"),
		"--cert", ts.MkAbs("pki/" + id + ".crt"), "--key", ts.MkAbs("pki/" + id + ".key"),
		"--install-root", ts.MkAbs(id + ".root"), "--state-dir", ts.MkAbs(id + ".state"), "--log-level", "debug"}, more...)
}

// cmdEnd ends a process with SIGTERM and expects it to end well: `end NAME`.
func cmdEnd(ts *testscript.TestScript, neg bool, args []string) {
	p := worldOf(ts).get(ts, args[0])
	ts.Check(p.signal(syscall.SIGTERM))
	if err := p.wait(); (err != nil) != neg {
		ts.Fatalf("%s ended with %v; it printed:\n%s", args[0], err, p.output())
	}
	ts.Logf("[%s]\n%s", args[0], p.output())
}

// cmdCrash ends a process with SIGKILL: `crash NAME`.
func cmdCrash(ts *testscript.TestScript, neg bool, args []string) {
	p := worldOf(ts).get(ts, args[0])
	ts.Check(p.signal(syscall.SIGKILL))
	p.wait()
}

// cmdExits waits until a process ends by itself: `[!] exits NAME`.
func cmdExits(ts *testscript.TestScript, neg bool, args []string) {
	p := worldOf(ts).get(ts, args[0])
	if err := p.wait(); (err != nil) != neg {
		ts.Fatalf("%s ended with %v; it printed:\n%s", args[0], err, p.output())
	}
}

// cmdPrints waits until a process has printed a line that matches: `prints NAME
// REGEXP`; `! prints` looks at what it has printed so far.
func cmdPrints(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] prints NAME REGEXP")
	}
	p, re := worldOf(ts).get(ts, args[0]), regexp.MustCompile("(?m)"+args[1])
	if neg {
		if re.MatchString(p.output()) {
			ts.Fatalf("%s printed %s:\n%s", args[0], re, p.output())
		}
		return
	}
	if _, err := p.await(re, 1); err != nil {
		ts.Fatalf("%s: %v", args[0], err)
	}
}

// cmdAwaits runs a command again and again until what it prints on standard
// output matches: `awaits REGEXP PROGRAM [ARG...]`; with `!` until it does not.
func cmdAwaits(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: [!] awaits REGEXP PROGRAM [ARG...]")
	}
	re := regexp.MustCompile("(?ms)" + args[0])
	var out string
	for limit := time.Now().Add(patience); time.Now().Before(limit); time.Sleep(20 * time.Millisecond) {
		raw, err := command(ts, args[1], args[2:]...).CombinedOutput()
		out = fmt.Sprintf("%s(%v)", raw, err)
		if re.MatchString(out) != neg {
			return
		}
	}
	ts.Fatalf("%s did not come to print %s within %s; last:\n%s", args[1], args[0], patience, out)
}

// cmdTry runs a command and expects an exit code: `try CODE PROGRAM [ARG...]`.
// Its output can be looked at with stdout and stderr.
func cmdTry(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: try CODE PROGRAM [ARG...]")
	}
	cmd := command(ts, args[1], args[2:]...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	ts.Stdout().Write(stdout.Bytes())
	ts.Stderr().Write(stderr.Bytes())
	if cmd.ProcessState == nil {
		ts.Fatalf("%s: %v", args[1], err)
	}
	if got := fmt.Sprint(cmd.ProcessState.ExitCode()); got != args[0] {
		ts.Fatalf("%s exited with %s, not %s", args[1], got, args[0])
	}
}

// command prepares a program. The word `agent ID` in place of a program is
// `jamesc` with the flags of that device.
func command(ts *testscript.TestScript, program string, args ...string) *exec.Cmd {
	if program == "agent" {
		argv := append(worldOf(ts).jamescOf(args[0]), agentArgs(ts, args[0], args[1:])...)
		program, args = argv[0], argv[1:]
	}
	path := program
	if !strings.Contains(program, "/") {
		if own := filepath.Join(binDir, program); exists(own) {
			path = own
		}
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = append([]string{}, worldOf(ts).env.Vars...)
	for _, v := range []string{"PATH", "HOME", "JAMESD_ADDR"} {
		cmd.Env = append(cmd.Env, v+"="+ts.Getenv(v))
	}
	return cmd
}

func exists(file string) bool { _, err := os.Stat(file); return err == nil }

// cmdFill writes a file of bytes that do not compress: `fill FILE SIZE`.
func cmdFill(ts *testscript.TestScript, neg bool, args []string) {
	var size int64
	if _, err := fmt.Sscan(args[1], &size); err != nil {
		ts.Fatalf("size: %v", err)
	}
	f, err := os.Create(ts.MkAbs(args[0]))
	ts.Check(err)
	_, err = io.CopyN(f, newNoise(1), size)
	ts.Check(err)
	ts.Check(f.Close())
}

// cmdLimited checks the peak memory of a running process: `limited NAME KIB`.
func cmdLimited(ts *testscript.TestScript, neg bool, args []string) {
	p := worldOf(ts).get(ts, args[0])
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	ts.Check(err)
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(status)
	var peak, limit int
	fmt.Sscan(string(m[1]), &peak)
	fmt.Sscan(args[1], &limit)
	ts.Logf("peak memory of %s: %d KiB", args[0], peak)
	if peak > limit {
		ts.Fatalf("%s had %d KiB resident at its peak, the limit is %d", args[0], peak, limit)
	}
}

// cmdMongo runs a database server of the script's own: `mongo
// start|kill|restart`. Its URI is in $MONGO.
func cmdMongo(ts *testscript.TestScript, neg bool, args []string) {
	w := worldOf(ts)
	switch args[0] {
	case "start":
		w.mongo = mongodtest.Start(w.tb)
		ts.Setenv("MONGO", w.mongo.URI("james"))
	case "kill":
		w.mongo.Kill()
	case "restart":
		w.mongo.Restart()
	default:
		ts.Fatalf("usage: mongo start|kill|restart")
	}
}
