package e2e_test

import (
	"fmt"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/trusch/jamesd/internal/e2e/linktest"
)

// cmdProxy listens in front of $JAMESD_ADDR and puts its address into $PROXY:
// `proxy pass` carries everything, `proxy cut BYTES` closes the first connection that
// has carried that many bytes towards the device, `proxy hang BYTES` lets it stall,
// and later ones pass; `proxy cuts BYTES` closes every connection after so many,
// `proxy slow BYTES` carries so many in a second, `proxy reset PERCENT BYTES` resets
// a share of the connections after at most so many.
func cmdProxy(ts *testscript.TestScript, neg bool, args []string) {
	link := linktest.Link{Target: ts.Getenv("JAMESD_ADDR")}
	switch words := append(args, "", ""); {
	case words[0] == "pass" && len(args) == 1:
	case words[0] == "cut" && len(args) == 2:
		link.First = number(ts, args[1])
	case words[0] == "hang" && len(args) == 2:
		link.First, link.Hang = number(ts, args[1]), true
	case words[0] == "cuts" && len(args) == 2:
		link.Each = number(ts, args[1])
	case words[0] == "slow" && len(args) == 2:
		link.Rate = int(number(ts, args[1]))
	case words[0] == "reset" && len(args) == 3:
		link.Reset, link.ResetWithin = int(number(ts, args[1])), number(ts, args[2])
	default:
		ts.Fatalf("usage: proxy pass | proxy cut|hang|cuts|slow BYTES | proxy reset PERCENT BYTES")
	}
	p, err := linktest.Listen(link)
	ts.Check(err)
	ts.Defer(p.Close)
	ts.Setenv("PROXY", p.Addr())
	worldOf(ts).proxy = p
}

func number(ts *testscript.TestScript, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		ts.Fatalf("bytes: %v", err)
	}
	return n
}

// handshake is what the server sends for one connection more: the handshake of TLS,
// and the poll or the header of an answer that is asked for again.
const handshake = 5 << 10

// cmdCarried notes what the last proxy has carried towards the device: `carried
// NAME` puts it into $NAME. `carried NAME MOST [PERCENT]` fails where it is more than
// MOST bytes by 2 percent, or so many, not counting the handshakes of connections but
// the first two.
func cmdCarried(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 3 {
		ts.Fatalf("usage: carried NAME [MOST [PERCENT]]")
	}
	n, connections := worldOf(ts).proxy.Carried()
	ts.Setenv(args[0], fmt.Sprint(n))
	ts.Logf("carried %d bytes over %d connections", n, connections)
	if len(args) == 1 {
		return
	}
	most, percent := number(ts, args[1]), int64(2)
	if len(args) == 3 {
		percent = number(ts, args[2])
	}
	if limit := most*(100+percent)/100 + handshake*max(0, connections-2); n > limit {
		ts.Fatalf("carried %d bytes over %d connections, the limit is %d", n, connections, limit)
	}
}
