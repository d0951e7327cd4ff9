package e2e_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trusch/jamesd/pkg/james"
)

// cmdSite starts the cache of a site before $JAMESD_ADDR: `site NAME [FLAG...]`. It
// keeps what it has in NAME.cache, takes the certificate pki/site.crt and a free
// loopback port, waits until it is ready, and puts its address into $CACHE and that of
// its metrics into $CACHE_METRICS. Started again under the same name it takes the same
// port.
func cmdSite(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: site NAME [FLAG...]")
	}
	w, name := worldOf(ts), args[0]
	addr := w.addr[name]
	if addr == "" {
		addr = "127.0.0.1:0"
	}
	p := w.start(ts, name, "jamesd", append([]string{"--cache-of", "https://" + ts.Getenv("JAMESD_ADDR"), "--addr", addr,
		"--cache-dir", ts.MkAbs(name + ".cache"), "--metrics-addr", "127.0.0.1:0", "--log-level", "debug",
		"--ca", ts.MkAbs("pki/ca.crt"), "--cert", ts.MkAbs("pki/site.crt"), "--key", ts.MkAbs("pki/site.key")}, args[1:]...)...)
	got, err := p.await(regexp.MustCompile(`msg="?listening"?.*? addr="?(127\.0\.0\.1:\d+)"?`), 1)
	ts.Check(err)
	metrics, err := p.await(regexp.MustCompile(`msg="metrics listening".*? addr="?(127\.0\.0\.1:\d+)"?`), 1)
	ts.Check(err)
	_, err = p.await(regexp.MustCompile(`msg=ready`), 1)
	ts.Check(err)
	w.addr[name] = got[1]
	ts.Setenv("CACHE", got[1])
	ts.Setenv("CACHE_METRICS", metrics[1])
}

// cmdSent sums the bytes of the bodies by which a jamesd has answered requests whose
// log lines match: `sent NAME REGEXP LEAST MOST`.
func cmdSent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: sent NAME REGEXP LEAST MOST")
	}
	least, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	most, err := strconv.ParseInt(args[3], 10, 64)
	ts.Check(err)
	line, out := regexp.MustCompile(args[1]), regexp.MustCompile(` out=(\d+)`)
	var sum int64
	requests := 0
	for lines := bufio.NewScanner(strings.NewReader(worldOf(ts).get(ts, args[0]).output())); lines.Scan(); {
		if m := out.FindStringSubmatch(lines.Text()); m != nil && line.MatchString(lines.Text()) {
			n, err := strconv.ParseInt(m[1], 10, 64)
			ts.Check(err)
			sum += n
			requests++
		}
	}
	ts.Logf("%d requests, %d bytes", requests, sum)
	if sum < least || sum > most {
		ts.Fatalf("%s sent %d bytes in %d answers, not %s to %s", args[0], sum, requests, args[2], args[3])
	}
}

// cmdGet makes a request and expects a status: `get STATUS URL [ID]`, over TLS with
// the certificate of ID where it is given. DIGEST in the URL stands for that of the
// first packet in packets.json. What comes is printed.
func cmdGet(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: get STATUS URL [ID]")
	}
	transport := &http.Transport{DisableKeepAlives: true}
	if len(args) == 3 {
		raw, err := os.ReadFile(ts.MkAbs("pki/ca.crt"))
		ts.Check(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(raw)
		pair, err := tls.LoadX509KeyPair(ts.MkAbs("pki/"+args[2]+".crt"), ts.MkAbs("pki/"+args[2]+".key"))
		ts.Check(err)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{pair}}
	}
	url := args[1]
	if strings.Contains(url, "DIGEST") {
		var packets []james.Packet
		raw, err := os.ReadFile(ts.MkAbs("packets.json"))
		ts.Check(err)
		ts.Check(json.Unmarshal(raw, &packets))
		url = strings.ReplaceAll(url, "DIGEST", packets[0].Digest.String())
	}
	resp, err := (&http.Client{Transport: transport, Timeout: patience}).Get(url)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Stdout().Write(body)
	if got := fmt.Sprint(resp.StatusCode); got != args[0] {
		ts.Fatalf("answered %s, not %s: %.500s", got, args[0], body)
	}
}
