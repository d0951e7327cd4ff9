package control

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"syscall"

	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// maxLine bounds a line of an answer, in bytes.
const maxLine = 1 << 20

// Client asks the jamesd that has a directory.
type Client struct {
	dir  string
	http *http.Transport
}

// Dial returns a client of the jamesd that has dir. It fails with
// james.KindNotFound where none serves a socket there, and with james.KindDenied
// where the caller may not use it.
func Dial(ctx context.Context, dir string) (*Client, error) {
	conn, err := dial(ctx, dir)
	switch {
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK), errors.Is(err, syscall.ENOTDIR):
		return nil, james.Errorf(james.KindNotFound, dir, "no jamesd has it open: %w", err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return nil, james.Errorf(james.KindDenied, dir, "%w", err).
			WithHint("Run it as the user that jamesd runs as, or as root.")
	case err != nil:
		return nil, james.Errorf(james.KindUnavailable, filepath.Join(dir, Name), "%w", err)
	}
	conn.Close()
	c := &Client{dir: dir}
	c.http = &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, dir) },
		DisableKeepAlives: true, DisableCompression: true,
	}
	return c, nil
}

func dial(ctx context.Context, dir string) (net.Conn, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	p, err := newPlace(abs, 0)
	if err != nil {
		return nil, err
	}
	defer p.close()
	var d net.Dialer
	return d.DialContext(ctx, "unix", p.path(""))
}

// Check has the store checked as fleet.Check does.
func (c *Client) Check(ctx context.Context, o fleet.CheckOptions) (fleet.Checkup, error) {
	path := "/check"
	if o.Repair {
		path += "?repair=true"
	}
	resp, err := c.ask(ctx, path)
	if err != nil {
		return fleet.Checkup{}, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fleet.Checkup{}, c.broken(ctx, err)
		}
		switch {
		case l.Problem != nil && o.Found != nil:
			o.Found(*l.Problem)
		case l.Progress != nil && o.Progress != nil:
			o.Progress(l.Progress.Done, l.Progress.Total)
		case l.Checkup != nil:
			return *l.Checkup, nil
		case l.Failure != nil:
			return fleet.Checkup{}, failed(l.Failure)
		}
	}
	return fleet.Checkup{}, c.broken(ctx, lines.Err())
}

// Backup writes a backup to w, as package backup does.
func (c *Client) Backup(ctx context.Context, w io.Writer) (backup.Summary, error) {
	resp, err := c.ask(ctx, "/backup")
	if err != nil {
		return backup.Summary{}, err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, reading{c, ctx, resp.Body}); err != nil {
		return backup.Summary{}, err
	}
	var end line
	if err := json.Unmarshal([]byte(resp.Trailer.Get(trailer)), &end); err != nil {
		return backup.Summary{}, c.broken(ctx, err)
	}
	switch {
	case end.Failure != nil:
		return backup.Summary{}, failed(end.Failure)
	case end.Backup == nil:
		return backup.Summary{}, c.broken(ctx, nil)
	}
	return *end.Backup, nil
}

func (c *Client) ask(ctx context.Context, path string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://jamesd"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.RoundTrip(req)
	if err != nil {
		return nil, c.broken(ctx, err)
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, james.Errorf(james.KindUnavailable, c.dir, "the jamesd that has it open answers with %s", resp.Status).
			WithHint("It may be of another version: start it again.")
	}
	return resp, nil
}

// broken returns the error of an answer that has no end.
func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return james.Errorf(james.KindInterrupted, "", "%w", context.Cause(ctx))
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return james.Errorf(james.KindInterrupted, c.dir, "the jamesd that had it open ended before it was done: %w", err)
}

// reading is the body of an answer, whose errors are those of the connection.
type reading struct {
	c   *Client
	ctx context.Context
	io.Reader
}

func (r reading) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = r.c.broken(r.ctx, err)
	}
	return n, err
}
