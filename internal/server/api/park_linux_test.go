package api_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptrace"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// newParkingWorld is newWorld where connections are parked, for which Linux has the means.
func newParkingWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if w.lot == nil {
		t.Fatal("held polls have goroutines")
	}
	return w
}

// TestParkedConnectionGoesOn: polls that are held one after the other, and what comes
// then, use one connection.
func TestParkedConnectionGoesOn(t *testing.T) {
	t.Parallel()
	w := newParkingWorld(t)
	req := w.synced(t, "device-1")
	req.Wait = 1
	c := w.client(t, "device-1")
	var reused []bool
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = append(reused, i.Reused) }})
	for i := range 3 {
		resp, err := c.Poll(ctx, req)
		must(t, err)
		if resp.Plan != nil || resp.Resend || resp.Interval == 0 {
			t.Errorf("answer %d is %+v", i, resp)
		}
	}
	req.Wait = 0
	_, err := c.Poll(ctx, req)
	must(t, err)
	if len(reused) != 4 || reused[0] || !reused[1] || !reused[2] || !reused[3] {
		t.Errorf("connections are used again: %v", reused)
	}
}

// rawPoll returns the bytes of a poll.
func rawPoll(t *testing.T, req james.PollRequest) []byte {
	t.Helper()
	body, err := json.Marshal(req)
	must(t, err)
	r, err := http.NewRequest(http.MethodPost, "https://localhost/v1/poll", bytes.NewReader(body))
	must(t, err)
	r.Header.Set("Content-Type", "application/json")
	var out bytes.Buffer
	must(t, r.Write(&out))
	return out.Bytes()
}

// TestParkedPipeline: a client that sends more than its poll gets the answer to that,
// and has to connect again.
func TestParkedPipeline(t *testing.T) {
	t.Parallel()
	w := newParkingWorld(t)
	packet := w.add(t, "hello", "v1", "hello")
	req := w.synced(t, "device-1")
	req.Wait = 300
	conn, err := tls.Dial("tcp", w.addr, tlsOf(t, "device-1"))
	must(t, err)
	defer conn.Close()
	poll := rawPoll(t, req)
	_, err = conn.Write(append(poll, poll...))
	must(t, err)
	w.waiting(t, 1)
	w.want(t, "device-1", packet.App())
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	must(t, err)
	var got james.PollResponse
	must(t, json.NewDecoder(resp.Body).Decode(&got))
	if got.Plan == nil || resp.StatusCode != http.StatusOK || resp.Header.Get("X-Request-Id") == "" || resp.Header.Get("Date") == "" || resp.ContentLength <= 0 {
		t.Errorf("answered %v, %+v", resp, got)
	}
	if _, err := in.ReadByte(); err != io.EOF {
		t.Errorf("then comes %v", err)
	}
}

// TestParkedShutdown: a server that ends answers the polls that it holds, and closes
// the connections of all.
func TestParkedShutdown(t *testing.T) {
	t.Parallel()
	w := newParkingWorld(t)
	var ends []*bufio.Reader
	for _, device := range []string{"device-1", "device-2"} {
		req := w.synced(t, device)
		req.Wait = 300
		conn, err := tls.Dial("tcp", w.addr, tlsOf(t, device))
		must(t, err)
		defer conn.Close()
		_, err = conn.Write(rawPoll(t, req))
		must(t, err)
		ends = append(ends, bufio.NewReader(conn))
	}
	w.waiting(t, 2)
	w.fleet.Drain()
	w.srv.Shutdown(context.Background())
	w.lot.Shutdown(context.Background())
	for _, in := range ends {
		resp, err := http.ReadResponse(in, nil)
		must(t, err)
		if resp.StatusCode != http.StatusNoContent || resp.Header.Get(james.HeaderPollInterval) == "" {
			t.Errorf("answered %v", resp)
		}
		if _, err := in.ReadByte(); err != io.EOF {
			t.Errorf("then comes %v", err)
		}
	}
}
