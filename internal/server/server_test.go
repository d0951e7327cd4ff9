package server_test

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/trusch/jamesd/internal/server"
	"github.com/trusch/jamesd/pkg/james"
)

// tarOf returns an archive of one file.
func tarOf(t testing.TB, content string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	must(t, w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1, 0)}))
	io.WriteString(w, content)
	must(t, w.Close())
	return buf.Bytes()
}

// TestServe: a jamesd on a directory that is not there yet serves, shows itself,
// ends when it is told to, and knows everything when it comes back.
func TestServe(t *testing.T) {
	t.Parallel()
	db := filepath.Join(t.TempDir(), "new", "db")
	p := run(t, nil, standard(db)...)
	p.logged(t, "ready")
	for path, want := range map[string]string{"/healthz": "ok\n", "/readyz": "ready\n"} {
		if status, body := p.get(t, path); status != http.StatusOK || body != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	_, err := p.client(t, "root").AddPacket(t.Context(), james.AddPacketRequest{Name: "hello"}, bytes.NewReader(tarOf(t, "hello")))
	must(t, err)
	_, err = p.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	p.stop(t)

	p = run(t, nil, standard(db)...)
	packets, err := p.client(t, "root").Packets(t.Context(), "")
	for james.KindOf(err) == james.KindUnavailable { // it listens before it has opened the directory
		packets, err = p.client(t, "root").Packets(t.Context(), "")
	}
	must(t, err)
	devices, err := p.client(t, "root").Devices(t.Context())
	must(t, err)
	if len(packets) != 1 || len(devices) != 1 || devices[0].LastSeen.IsZero() {
		t.Fatalf("it came back with %+v and %+v", packets, devices)
	}
	p.stop(t)
}

// TestMetrics holds the names that dashboards use.
func TestMetrics(t *testing.T) {
	t.Parallel()
	p := run(t, nil, standard(t.TempDir())...)
	p.logged(t, "ready")
	_, err := p.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	must(t, err)
	_, err = p.client(t, "device-1").Packets(t.Context(), "")
	if james.KindOf(err) != james.KindDenied {
		t.Fatal(err)
	}
	status, body := p.get(t, "/metrics")
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	for _, line := range []string{
		`jamesd_build_info{commit="`,
		`jamesd_certificate_expiry_timestamp_seconds{certificate="authority"} `,
		`jamesd_certificate_expiry_timestamp_seconds{certificate="server"} `,
		`jamesd_devices{condition="in-sync"} 0`,
		`jamesd_devices{condition="pending"} 0`,
		`jamesd_devices{condition="failed"} 0`,
		`jamesd_downloads_total{way="archive"} 0`,
		`jamesd_downloads_total{way="patch"} 0`,
		`jamesd_download_bytes_total{way="stream"} 0`,
		`jamesd_download_saved_bytes_total{by="patched"} 0`,
		`jamesd_download_saved_bytes_total{by="reused"} 0`,
		`jamesd_resolve_duration_seconds_count 1`,
		`jamesd_store_duration_seconds_count{operation="update",store="metadata"} 1`,
		`jamesd_store_duration_seconds_count{operation="append-event",store="metadata"} 1`,
		`jamesd_store_failures_total{store="blobs"} 0`,
		`jamesd_devices{condition="unmanaged"} 1`,
		`jamesd_packets 0`,
		`jamesd_polls_held 0`,
		`jamesd_polls_total{outcome="failed"} 0`,
		`jamesd_polls_total{outcome="idle"} 1`,
		`jamesd_polls_total{outcome="plan"} 0`,
		`jamesd_polls_total{outcome="resend"} 0`,
		`jamesd_reports_total{result="committed"} 0`,
		`jamesd_reports_total{result="rolled-back"} 0`,
		`jamesd_request_bytes_total{route="POST /v1/poll"} `,
		`jamesd_request_duration_seconds_count{route="POST /v1/poll"} 1`,
		`jamesd_requests_total{route="GET /v1/packets",status="403"} 1`,
		`jamesd_requests_total{route="POST /v1/poll",status="204"} 1`,
		`jamesd_response_bytes_total{route="GET /v1/packets"} `,
		`jamesd_store_reached 1`,
		`jamesd_streams_total{answer="kept"} 0`,
		`jamesd_streams_total{answer="made"} 0`,
		`jamesd_streams_total{answer="resumed"} 0`,
		`jamesd_streams_ahead_total 0`,
		`jamesd_patches_total{result="used"} 0`,
		`jamesd_patches_total{result="useless"} 0`,
		`jamesd_patches_total{result="failed"} 0`,
		`jamesd_patch_bytes_total 0`,
		`jamesd_patches_queued 0`,
		`jamesd_cache_bytes `,
		`jamesd_cache_limit_bytes 2.147483648e+09`,
		`jamesd_cache_evictions_total 0`,
		`jamesd_connections `,
		`jamesd_handshakes_pending 0`,
		`jamesd_handshakes_total{result="full"} `,
		`jamesd_handshakes_total{result="resumed"} `,
		`jamesd_handshakes_total{result="failed"} 0`,
		`jamesd_connections_refused_total{reason="busy"} 0`,
		`jamesd_connections_refused_total{reason="silent"} 0`,
		`jamesd_connections_refused_total{reason="too-many"} 0`,
		`go_goroutines `,
		`process_resident_memory_bytes `,
	} {
		if !strings.Contains(body, "\n"+line) {
			t.Errorf("there is no %s", line)
		}
	}
	if t.Failed() {
		t.Log(body)
	}
}

// TestProfiles: profiles are for this machine, unless it is said otherwise.
func TestProfiles(t *testing.T) {
	t.Parallel()
	t.Run("at a loopback address", func(t *testing.T) {
		t.Parallel()
		p := run(t, nil, standard(t.TempDir())...)
		for _, path := range []string{"", "goroutine?debug=1", "heap", "mutex", "block", "symbol", "profile?seconds=1", "trace?seconds=0.1"} {
			if status, body := p.get(t, "/debug/pprof/"+path); status != http.StatusOK || body == "" {
				t.Errorf("%q: %d %q", path, status, body)
			}
		}
		for _, name := range []string{"mutex", "block"} {
			if _, body := p.get(t, "/debug/pprof/"+name+"?debug=1"); !strings.Contains(body, "cycles/second=") {
				t.Errorf("%s: %q", name, body)
			}
		}
		if status, body := p.get(t, "/debug/pprof/cmdline"); status != http.StatusNotFound {
			t.Errorf("the command line: %d %q", status, body)
		}
	})
	for _, row := range []struct {
		name   string
		flags  []string
		status int
	}{
		{"for everybody", []string{"--metrics-addr", "0.0.0.0:0", "--metrics-remote"}, http.StatusNotFound},
		{"for everybody, as was asked for", []string{"--metrics-addr", "0.0.0.0:0", "--metrics-remote", "--pprof-remote"}, http.StatusOK},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, nil, append(standard(t.TempDir()), row.flags...)...)
			if status, body := p.get(t, "/debug/pprof/goroutine?debug=1"); status != row.status {
				t.Errorf("%d %q", status, body)
			}
			if status, _ := p.get(t, "/metrics"); status != http.StatusOK {
				t.Errorf("/metrics: %d", status)
			}
		})
	}
}

// TestRefusesToStart: what cannot work ends jamesd at once, in a sentence.
func TestRefusesToStart(t *testing.T) {
	t.Parallel()
	taken := t.TempDir()
	first := run(t, nil, standard(taken)...)
	first.logged(t, "ready")
	busy := first.addr(t, "listening")
	file := func(name, content string) string {
		path := filepath.Join(t.TempDir(), name)
		must(t, os.WriteFile(path, []byte(content), 0o600))
		return path
	}
	for _, row := range []struct {
		name string
		env  []string
		args []string // after the standard ones
		code int
		says string
	}{
		{"directory of another jamesd", nil, []string{"--db", taken}, 1, taken},
		{"directory is a file", nil, []string{"--db", file("db", "x")}, 1, "db"},
		{"cache of another jamesd", nil, []string{"--cache-dir", filepath.Join(taken, "cache")}, 1, filepath.Join(taken, "cache")},
		{"cache is a file", nil, []string{"--cache-dir", file("cache", "x")}, 1, "--cache-dir: "},
		{"cache of no size", nil, []string{"--cache-size", "1KiB"}, 2, "--cache-size: must be at least 1MiB"},
		{"no certificate", nil, []string{"--cert", "/nowhere/server.crt"}, 1, "/nowhere/server.crt: there is no such file\nhint: jamesd-ctl pki makes certificates"},
		{"no such port", nil, []string{"--addr", "127.0.0.1:99999"}, 1, "invalid port"},
		{"key of another", nil, []string{"--key", filepath.Join(certs, "root.key")}, 1, "is not the key of"},
		{"certificate of a client", nil, []string{"--cert", filepath.Join(certs, "root.crt"), "--key", filepath.Join(certs, "root.key")}, 1, "not made for a server"},
		{"address is taken", nil, []string{"--addr", busy}, 1, "address already in use"},
		{"metrics address is taken", nil, []string{"--metrics-addr", busy}, 1, "--metrics-addr"},
		{"metrics for everybody", nil, []string{"--metrics-addr", "0.0.0.0:0"}, 2, "can be reached by other machines"},
		{"metrics for everybody, without a host", nil, []string{"--metrics-addr", ":0"}, 2, "can be reached by other machines"},
		{"profiles for nobody", nil, []string{"--pprof-remote"}, 2, "--pprof-remote"},
		{"unknown flag", nil, []string{"--adr", ":1"}, 2, "unknown flag: --adr"},
		{"argument", nil, []string{"serve"}, 2, "serve: there is no such command"},
		{"address without port", nil, []string{"--addr", "localhost"}, 2, "--addr"},
		{"unknown database", nil, []string{"--db", "postgres://x"}, 2, `no kind of database "postgres"`},
		{"no database", nil, []string{"--db", ""}, 2, "--db"},
		{"interval too short", nil, []string{"--poll-interval", "10ms"}, 2, "--poll-interval"},
		{"interval of no tag", nil, []string{"--poll-interval-of", "metered"}, 2, "--poll-interval-of: \"metered\" is not TAG=DURATION"},
		{"interval of a bad tag", nil, []string{"--poll-interval-of", "a b=1h"}, 2, "\"a b=1h\" is not TAG=DURATION"},
		{"interval of a tag too short", nil, []string{"--poll-interval-of", "a=1h,b=10ms"}, 2, "\"b=10ms\": 10ms is not between 1s and 24h"},
		{"interval of a tag twice", nil, []string{"--poll-interval-of", "a=b=1h,a=b=2h"}, 2, "the tag a=b is there twice"},
		{"malformed size", nil, []string{"--max-archive", "8 elephants"}, 2, "is not a size"},
		{"size of nothing", nil, []string{"--max-packet-size", "0"}, 2, "--max-packet-size"},
		{"negative requests", nil, []string{"--device-requests", "-1"}, 2, "--device-requests"},
		{"negative transfers", nil, []string{"--device-transfers", "-1"}, 2, "--device-transfers"},
		{"negative transfers of all", nil, []string{"--max-transfers", "-1"}, 2, "--max-transfers"},
		{"negative connections", nil, []string{"--max-connections", "-1"}, 2, "--max-connections"},
		{"negative connections of a device", nil, []string{"--device-connections", "-1"}, 2, "--device-connections: -1 is negative"},
		{"negative requests of all", nil, []string{"--max-requests", "-1"}, 2, "--max-requests: -1 is negative"},
		{"negative requests at a time", nil, []string{"--max-concurrent", "-1"}, 2, "--max-concurrent: -1 is negative"},
		{"bodies of a device", nil, []string{"--device-bodies", "1MiB"}, 2, "--device-bodies: 1MiB is less than 4194304 bytes"},
		{"bodies", nil, []string{"--max-bodies", "1MiB"}, 2, "--max-bodies: 1MiB is less than 4194304 bytes"},
		{"rate of a device", nil, []string{"--device-rate", "1kB"}, 2, "--device-rate: 1kB a second is less than 2000 bytes"},
		{"rate", nil, []string{"--max-rate", "1kB"}, 2, "--max-rate: 1kB a second is less than 2000 bytes"},
		{"unknown level", nil, []string{"--log-level", "loud"}, 2, `"loud"`},
		{"empty admin", nil, []string{"--admins", "a,,b"}, 2, "--admins"},
		{"environment", []string{"JAMESD_SERVER_POLL_INTERVAL=often"}, nil, 2, "JAMESD_SERVER_POLL_INTERVAL"},
		{"settings file", nil, []string{"--config", file("a.yaml", "poll-interval: 5s\nmax-archiv: 1\n")}, 2, "a.yaml:2"},
		{"no settings file", nil, []string{"--config", "/nowhere/jamesd.yaml"}, 2, "/nowhere/jamesd.yaml"},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := run(t, row.env, append(standard(t.TempDir()), row.args...)...)
			if code := p.exit(t); code != row.code || !strings.Contains(p.output(), row.says) {
				t.Fatalf("it exited with %d:\n%s", code, p.output())
			}
			if out := p.output(); strings.Contains(out, "another jamesd running") != (strings.Contains(out, "address already in use") || strings.Contains(out, "another process has this cache")) {
				t.Errorf("the hint is not about what is wrong:\n%s", out)
			}
			if !strings.Contains(p.output(), "jamesd: ") {
				t.Errorf("it does not say its name:\n%s", p.output())
			}
		})
	}
}

// TestSettings: the file, the environment and the command line all count, in
// this order.
func TestSettings(t *testing.T) {
	t.Parallel()
	settings := filepath.Join(t.TempDir(), "jamesd.yaml")
	must(t, os.WriteFile(settings, []byte("poll-interval: 100s\nlog-level: warn\nlog-format: text\nadmins: [device-1]\n"), 0o600))
	args := standard(t.TempDir()) // --log-format json
	p := run(t, []string{"JAMESD_SERVER_LOG_LEVEL=info", "JAMESD_SERVER_CONFIG=" + settings}, args...)
	p.logged(t, "ready")
	if _, err := p.client(t, "device-1").Devices(t.Context()); err != nil {
		t.Error(err)
	}
	p.stop(t)
	p = run(t, []string{"JAMESD_SERVER_POLL_INTERVAL=200s", "JAMESD_SERVER_CONFIG=" + settings}, append(args, "--admins", "boss", "--log-level", "info")...)
	p.logged(t, "ready")
	resp, err := p.client(t, "device-1").Poll(t.Context(), james.PollRequest{Report: &james.DeviceReport{}})
	if err != nil || resp.Interval < 100 || resp.Interval > 300 || resp.Pause < 100*time.Second || resp.Pause > 300*time.Second {
		t.Errorf("answered %+v, %v", resp, err)
	}
}

// TestStoreUnreachable: jamesd is there, says what it waits for, and goes on trying.
func TestStoreUnreachable(t *testing.T) {
	t.Parallel()
	p := run(t, nil, standard("mongodb://127.0.0.1:1/test?serverSelectionTimeoutMS=100")...)
	line := p.logged(t, "store not reached")
	if line["kind"] != "unavailable" || line["level"] != "warning" {
		t.Errorf("logged %v", line)
	}
	if status, body := p.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "127.0.0.1:1") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if status, _ := p.get(t, "/healthz"); status != http.StatusOK {
		t.Errorf("/healthz: %d", status)
	}
	if _, body := p.get(t, "/metrics"); !strings.Contains(body, "jamesd_store_reached 0") {
		t.Errorf("/metrics: %s", body)
	}
	_, err := p.client(t, "root").Devices(t.Context())
	if james.KindOf(err) != james.KindUnavailable || !strings.Contains(err.Error(), "store") {
		t.Errorf("got %v", err)
	}
	p.stop(t)
}

// TestRemains: what an upload left behind when jamesd was killed is gone after
// its next start.
func TestRemains(t *testing.T) {
	t.Parallel()
	db := t.TempDir()
	p := run(t, nil, standard(db)...)
	p.logged(t, "ready")
	finish, done := upload(t, p)
	incoming := filepath.Join(db, "blobs", "incoming")
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		left, err := os.ReadDir(incoming)
		must(t, err)
		if len(left) == 1 {
			break
		}
		if time.Since(start) > patience {
			t.Fatalf("the upload does not begin: %v", left)
		}
	}
	must(t, p.cmd.Process.Kill())
	p.exit(t)
	finish(io.ErrUnexpectedEOF)
	<-done
	p = run(t, nil, standard(db)...)
	p.logged(t, "ready")
	if left, err := os.ReadDir(incoming); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	p.stop(t)
}

// upload starts an upload that ends when finish is called, and waits until the
// server has begun to read it.
func upload(t *testing.T, p *process) (finish func(error), done chan error) {
	t.Helper()
	content := tarOf(t, strings.Repeat("x", 1<<20))
	rest, w := io.Pipe()
	done = make(chan error, 1)
	c := p.client(t, "root")
	go func() {
		_, err := c.AddPacket(t.Context(), james.AddPacketRequest{Name: "slow"}, rest)
		done <- err
	}()
	_, err := w.Write(content[:len(content)/2])
	must(t, err)
	return func(err error) {
		if err == nil {
			w.Write(content[len(content)/2:])
		}
		w.CloseWithError(err)
	}, done
}

// TestShutdown: held polls are answered, and a transfer gets to its end.
func TestShutdown(t *testing.T) {
	t.Parallel()
	p := run(t, nil, standard(t.TempDir())...)
	p.logged(t, "ready")
	report := &james.DeviceReport{}
	device := p.client(t, "device-1")
	_, err := device.Poll(t.Context(), james.PollRequest{Report: report})
	must(t, err)
	held := make(chan error, 1)
	go func() {
		_, err := device.Poll(t.Context(), james.PollRequest{Same: report.Digest(), Wait: 300})
		held <- err
	}()
	for _, body := p.get(t, "/metrics"); !strings.Contains(body, "jamesd_polls_held 1"); {
		_, body = p.get(t, "/metrics")
	}
	finish, uploaded := upload(t, p)
	p.signal(t, syscall.SIGTERM)
	if err := <-held; err != nil {
		t.Errorf("the held poll: %v", err)
	}
	if status, body := p.get(t, "/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "stopping") {
		t.Errorf("/readyz: %d %q", status, body)
	}
	finish(nil)
	if err := <-uploaded; err != nil {
		t.Errorf("the upload: %v", err)
	}
	if code := p.exit(t); code != 0 {
		t.Errorf("it exited with %d", code)
	}
}

// TestShutdownTimeout: a transfer that does not come to its end is cut short.
func TestShutdownTimeout(t *testing.T) {
	t.Parallel()
	p := run(t, nil, append(standard(t.TempDir()), "--shutdown-timeout", "100ms")...)
	p.logged(t, "ready")
	finish, uploaded := upload(t, p)
	p.stop(t)
	finish(errUnfinished)
	if err := <-uploaded; err == nil {
		t.Error("an upload succeeded that was not finished")
	}
	p.logged(t, "transfers cut short")
}

// TestSecondSignal: who sends two has no time.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	p := run(t, nil, append(standard(t.TempDir()), "--shutdown-timeout", "1h")...)
	p.logged(t, "ready")
	finish, uploaded := upload(t, p)
	p.signal(t, syscall.SIGINT)
	p.logged(t, "stopping")
	p.signal(t, syscall.SIGTERM)
	if code := p.exit(t); code != 1 || !strings.Contains(p.output(), "second signal") {
		t.Errorf("it exited with %d", code)
	}
	finish(errUnfinished)
	<-uploaded
}

func TestRetry(t *testing.T) {
	t.Parallel()
	unreachable := james.Errorf(james.KindUnavailable, "store", "does not answer")
	t.Run("until it works", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			var pauses []time.Duration
			start := time.Now()
			err := server.Retry(t.Context(), func() error {
				if len(pauses) == 7 {
					return nil
				}
				return unreachable
			}, func(_ error, pause time.Duration) { pauses = append(pauses, pause) })
			must(t, err)
			if got, want := time.Since(start), (1+2+4+8+16+30+30)*time.Second; got != want {
				t.Errorf("it took %s, want %s: %v", got, want, pauses)
			}
		})
	})
	t.Run("unless it never will", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			locked := james.Errorf(james.KindConflict, "store", "is locked")
			err := server.Retry(t.Context(), func() error { return locked }, func(error, time.Duration) { t.Error("tried again") })
			if !errors.Is(err, locked) {
				t.Error(err)
			}
		})
	})
	t.Run("until it is told to end", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			err := server.Retry(ctx, func() error { return unreachable }, func(error, time.Duration) {})
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	})
}
