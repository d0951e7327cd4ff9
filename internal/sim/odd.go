package sim

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"strings"
	"time"

	"github.com/trusch/jamesd/internal/sim/wire"
	"github.com/trusch/jamesd/pkg/james"
)

// The pauses of devices that do not behave.
const (
	floodPause   = 100 * time.Millisecond // where nothing answers
	garbagePause = 100 * time.Millisecond
	stallPause   = time.Second
)

// floods polls, and does not rest whatever the answer is.
func (d *device) floods(ctx context.Context) time.Duration {
	_, err := d.poll(ctx, try{})
	if err == nil || ctx.Err() != nil {
		return 0
	}
	d.m.lost(nameOf(err))
	var refused *refusal
	if errors.As(err, &refused) {
		return 0
	}
	d.drop()
	return floodPause
}

// stalls stops in the middle of something and waits for the server to give up: in the
// handshake, in the header of a request, in its body, by turns.
func (d *device) stalls(ctx context.Context) time.Duration {
	const head = "POST /v1/poll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
	d.turns++
	begun := time.Now()
	var err error
	switch d.turns % 3 {
	case 0:
		err = d.stallsUnsecured(ctx)
	case 1:
		err = d.says(ctx, []byte(head))
	case 2:
		err = d.says(ctx, []byte(head+"Content-Length: 1000\r\n\r\n{\"report\":"))
	}
	d.drop()
	if ctx.Err() != nil {
		return 0
	}
	d.m.took(stallKind, time.Since(begun))
	d.m.lost(nameOf(err))
	return stallPause
}

// stallPatience is how long a device that stalls waits for the server.
const stallPatience = 10 * time.Minute

// stallsUnsecured connects and says nothing.
func (d *device) stallsUnsecured(ctx context.Context) error {
	if err := d.fleet.enter(ctx); err != nil {
		return err
	}
	defer d.fleet.leave()
	conn, err := (&net.Dialer{Timeout: d.fleet.s.timeout}).DialContext(ctx, "tcp", d.fleet.dialer.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	if err := conn.SetDeadline(time.Now().Add(stallPatience)); err != nil {
		return err
	}
	_, err = conn.Read(make([]byte, 1))
	return err
}

// says sends raw bytes over TLS and returns what the answer is, as an error.
func (d *device) says(ctx context.Context, raw []byte) error {
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	if err := c.Within(stallPatience); err != nil {
		return err
	}
	if _, err := c.Write(raw); err != nil && !lostConnection(err) {
		return err // and where it is lost, the reason may have come before
	}
	return answerOf(c)
}

// answerOf returns an answer as an error, also one that is none.
func answerOf(c *wire.Conn) error {
	a, err := c.Receive()
	if err != nil {
		return err
	}
	if a.Status < 400 {
		return &refusal{a.Status, james.Errorf("accepted", "server", "takes it")}
	}
	return problem(a, c.Body())
}

// rubbish is what devices send that send garbage.
var rubbish = [][]byte{
	garbled("POST", "/v1/poll", `{"same":`),
	garbled("POST", "/v1/poll", `{"report":7}`),
	garbled("POST", "/v1/poll", `{"report":{"systemtags":["`+strings.Repeat("x", 1000)+`"],"apps":[],"revision":0}}`),
	garbled("POST", "/v1/poll", strings.Repeat(`{"a":`, 10_000)),
	garbled("POST", "/v1/reports", `{"plan":"","result":"perfect"}`),
	garbled("POST", "/v1/blobs", `{"packets":[{"packet":"`+james.DigestOf(nil).String()+`","entries":"0-999999999"}]}`),
	garbled("GET", "/v1/devices", ""),
	garbled("DELETE", "/v1/poll/../../etc/passwd", ""),
	[]byte("POST /v1/poll HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000000000\r\n\r\n"),
	[]byte("GET / HTTP/1.1\r\nHost: localhost\r\nNoise: " + strings.Repeat("n", 64<<10) + "\r\n\r\n"),
	[]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
	bytes.Repeat([]byte{0xff, 0x00, '\r', '\n'}, 4<<10),
}

func garbled(method, path, body string) []byte {
	return wire.Encode(method, path, "localhost", "garbage", []byte(body))
}

// garbles sends what is no request of a device, by turns over TLS and in its place.
func (d *device) garbles(ctx context.Context) time.Duration {
	turn := d.turns % (len(rubbish) + 1)
	d.turns++
	var err error
	if turn == len(rubbish) {
		err = d.breaks(ctx)
	} else {
		err = d.says(ctx, rubbish[turn])
	}
	d.drop()
	if ctx.Err() == nil {
		d.m.lost(nameOf(err))
	}
	return garbagePause
}

// breaks writes noise beneath TLS.
func (d *device) breaks(ctx context.Context) error {
	c, err := d.connect(ctx)
	if err != nil {
		return err
	}
	noise := make([]byte, 1<<10)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	if err := c.Within(stallPatience); err != nil {
		return err
	}
	if _, err := c.WriteBeneath(noise); err != nil {
		return err
	}
	return answerOf(c)
}
