// Command mongod serves the MongoDB protocol for tests: FerretDB with its
// SQLite handler, on a loopback port. It is a module of its own so that what it
// needs stays out of jamesd's.
//
// It prints its mongodb:// URI as one line when it accepts connections, and
// serves until SIGINT, SIGTERM or the end of its standard input: a test that
// holds the other end of that pipe cannot leave it behind, however it dies.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/FerretDB/FerretDB/ferretdb"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "`address` to listen on; port 0 takes a free one")
	dir := flag.String("dir", "", "`directory` of the databases, made if absent; without it they are temporary and not fsynced")
	verbose := flag.Bool("verbose", false, "log every connection and command to standard error")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *dir, *verbose); err != nil {
		fmt.Fprintln(os.Stderr, "mongod:", err)
		os.Exit(1)
	}
}

// run serves until ctx or the standard input ends.
func run(ctx context.Context, listen, dir string, verbose bool) (err error) {
	data, remove, err := dataURL(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	level := slog.LevelError
	if verbose {
		level = slog.LevelDebug
	}
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: listen},
		Handler:   "sqlite",
		SQLiteURL: data,
		Logger:    slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		io.Copy(io.Discard, os.Stdin) // returns when the parent is gone, or with an error that means the same
		cancel()
	}()
	fmt.Println(db.MongoDBURI()) // the socket listens since New; Run accepts
	return db.Run(ctx)
}

// dataURL returns the directory as FerretDB wants it, and what removes it if it
// is temporary.
func dataURL(dir string) (string, func() error, error) {
	if dir == "" {
		tmp, err := os.MkdirTemp("", "jamesd-mongod-")
		if err != nil {
			return "", nil, err
		}
		u := url.URL{Scheme: "file", Path: tmp + "/", RawQuery: "_pragma=synchronous(off)"}
		return u.String(), func() error { return os.RemoveAll(tmp) }, nil
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", nil, err
	}
	u := url.URL{Scheme: "file", Path: abs + "/"}
	return u.String(), func() error { return nil }, os.MkdirAll(abs, 0o700)
}
