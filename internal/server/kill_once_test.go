package server_test

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// turnText and revisionText are what an event says of the change that it tells of.
var (
	turnText     = regexp.MustCompile(`turn \d+`)
	revisionText = regexp.MustCompile(`^revision \d+ of the desired state`)
)

// once checks that nothing was done twice: no report became two events, no revision of a
// desired state was set twice, and nothing changed more often than it was asked for.
func (k *killing) once(admin *client.Client) {
	k.t.Helper()
	told, times := make(map[string]int), make(map[string]int)
	for after := uint64(0); ; {
		events, err := admin.Events(k.t.Context(), after, 0, 0)
		must(k.t, err)
		if len(events) == 0 {
			break
		}
		for _, e := range events {
			after = e.Seq
			switch e.Kind {
			case james.EventReport:
				told[e.Device+" "+turnText.FindString(e.Text)]++
				times["the transaction of "+e.Device]++
			case james.EventDesiredSet:
				told[e.Device+" "+revisionText.FindString(e.Text)]++
				times["the desired state of "+e.Device]++
			case james.EventPacketAdded, james.EventPacketReplaced, james.EventPacketDeleted:
				times[strings.TrimSpace(e.Packet)]++
			}
		}
	}
	for what, n := range told {
		if n > 1 {
			k.t.Errorf("%s is in %d events", what, n)
		}
	}
	for _, c := range k.cells {
		if n := times[c.name]; n > c.made+c.cut {
			k.t.Errorf("%s changed %d times: %d changes were acknowledged, %d cut off", c.name, n, c.made, c.cut)
		}
	}
	for i := range victims {
		k.onceDesired(admin, i)
	}
	if len(told) == 0 {
		k.t.Error("no event tells of a change")
	}
}

// onceDesired checks the number of revisions that a desired state had, which no kill loses.
func (k *killing) onceDesired(admin *client.Client, i int) {
	k.t.Helper()
	c := k.cells[names+3*i]
	d, err := admin.Desired(k.t.Context(), fmt.Sprint("victim-", i))
	if james.KindOf(err) == james.KindNotFound {
		err = nil
	}
	must(k.t, err)
	if n := int(d.Revision); n < c.made || n > c.made+c.cut {
		k.t.Errorf("%s has revision %d: %d changes were acknowledged, %d cut off", c.name, n, c.made, c.cut)
	}
}
