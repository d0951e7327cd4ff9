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
// and with `proxy cuts BYTES PERCENT` resets such a share of them before that;
// `proxy slow BYTES` carries so many in a second.
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
	case words[0] == "cuts" && len(args) == 3:
		link.Each, link.Reset = number(ts, args[1]), int(number(ts, args[2]))
		link.ResetWithin = link.Each
	case words[0] == "slow" && len(args) == 2:
		link.Rate = int(number(ts, args[1]))
	default:
		ts.Fatalf("usage: proxy pass | proxy cut|hang|cuts|slow BYTES | proxy cuts BYTES PERCENT")
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

// cmdCarried notes what the last proxy has carried towards the device, handshakes and
// all: `carried NAME` puts it into $NAME. `carried NAME IDEAL [TIMES]` fails where it is
// more than IDEAL bytes, or as much so many times, by 2 percent, or less than half of it,
// which then did not go that way.
func cmdCarried(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 3 {
		ts.Fatalf("usage: carried NAME [IDEAL [TIMES]]")
	}
	p := worldOf(ts).proxy
	n, connections := p.Carried()
	ts.Setenv(args[0], fmt.Sprint(n))
	ts.Logf("carried %d bytes over %d connections, of which %d were reset", n, connections, p.Resets())
	if len(args) == 1 {
		return
	}
	ideal := number(ts, args[1])
	if len(args) == 3 {
		ideal *= number(ts, args[2])
	}
	ts.Logf("%.2f %% of the ideal", 100*float64(n)/float64(ideal))
	if n > ideal*102/100 || n < ideal/2 {
		ts.Fatalf("carried %d bytes over %d connections, the ideal is %d", n, connections, ideal)
	}
}

// cmdResets checks that the last proxy has reset at least so many connections: `resets
// LEAST`.
func cmdResets(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: resets LEAST")
	}
	if n := worldOf(ts).proxy.Resets(); n < number(ts, args[0]) {
		ts.Fatalf("%d connections were reset", n)
	}
}
