package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == relayCommand {
		os.Exit(relay(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are what the command line says.
type options struct {
	cuts  int
	seed  uint64
	build string // directory for what is built and downloaded
	agent string // the jamesc to try, or "" for that of this source
	keep  bool
}

// parse prints the flags where that is asked for.
func parse(args []string, stdout io.Writer) (options, error) {
	o := options{}
	fs := flag.NewFlagSet("powercut", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {} // of a wrong flag the error says enough
	fs.IntVar(&o.cuts, "cuts", 50, "how often the power is cut")
	fs.Uint64Var(&o.seed, "seed", 0, "from which the moments are chosen; 0 takes one from the clock and prints it")
	fs.StringVar(&o.build, "build", "build/powercut", "directory for the kernel and for what is kept")
	fs.StringVar(&o.agent, "jamesc", "", "a static jamesc for linux/amd64 to try, instead of that of this source")
	fs.BoolVar(&o.keep, "keep", false, "keep the disks and the consoles of a run that lost nothing, too")
	err := fs.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(stdout, "powercut cuts the power of a virtual machine in the middle of upgrades.")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
	}
	if err != nil {
		return o, err
	}
	if fs.NArg() > 0 {
		return o, fmt.Errorf("unknown argument %q", fs.Arg(0))
	}
	if o.cuts < 1 {
		return o, fmt.Errorf("%d cuts are none", o.cuts)
	}
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	return o, nil
}

// run returns the exit code: 0 when nothing was lost, 1 when something was or the
// run failed, 2 for a wrong command line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "powercut: %v\n", err)
		return 2
	}
	lost, err := cutAll(ctx, o, stdout)
	switch {
	case ctx.Err() != nil:
		fmt.Fprintln(stderr, "powercut: stopped")
		return 130
	case err != nil:
		fmt.Fprintf(stderr, "powercut: %v\n", err)
		return 1
	case lost:
		return 1
	}
	return 0
}

// cutAll does it all and prints how it goes.
func cutAll(ctx context.Context, o options, stdout io.Writer) (lost bool, err error) {
	t, err := findTools()
	if err != nil {
		return false, err
	}
	build, err := filepath.Abs(o.build)
	if err != nil {
		return false, err
	}
	if err := os.MkdirAll(build, 0o755); err != nil {
		return false, err
	}
	work, err := os.MkdirTemp(build, "run-")
	if err != nil {
		return false, err
	}
	keep := o.keep
	defer func() {
		if !keep {
			os.RemoveAll(work)
		}
	}()
	w := &world{options: o, tools: t, work: work, out: &printer{w: stdout}}
	defer w.close()
	w.out.line("powercut: %d cuts, seed %d", o.cuts, o.seed)
	if err := w.prepare(ctx, build); err != nil {
		return false, err
	}
	results, err := w.cut(ctx)
	keep = keep || results.lost() > 0 || err != nil && ctx.Err() == nil
	results.print(w.out)
	if keep {
		w.out.line("the disks and the consoles are in %s", work)
	}
	return results.lost() > 0, err
}

// relayCommand makes this program what qemu starts for every connection that the
// machine makes: it passes bytes between its standard streams and a TCP address.
const relayCommand = "relay"

func relay(addr string) int {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, strings.TrimSpace(err.Error()))
		return 1
	}
	defer conn.Close()
	go func() {
		io.Copy(conn, os.Stdin)
		conn.(*net.TCPConn).CloseWrite()
	}()
	io.Copy(os.Stdout, conn)
	return 0
}
