package txn_test

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/disk/disktest"
	"github.com/trusch/jamesd/pkg/james"
)

// countCalls returns a hook that notes before each operation how many scripts have
// been called until then.
func (o *ordeal) countCalls(w *world, next disk.Hook) disk.Hook {
	return func(before bool, op disk.Op) error {
		if before {
			calls := w.log()
			if calls[0] == "" {
				calls = nil
			}
			o.begun = append(o.begun, len(calls))
		}
		return next(before, op)
	}
}

// begunBy returns the calls of scripts that were made before p.
func (o *ordeal) begunBy(p disktest.Point) []string {
	n := p.N - 1
	if p.After {
		n++
	}
	if n >= len(o.begun) {
		return o.calls
	}
	return o.calls[:o.begun[n]]
}

// mirrored fails where a script had begun before p and its mirror is not among the
// calls that were made until the device was as before.
func (o *ordeal) mirrored(p disktest.Point, made []string) error {
	for _, call := range o.begunBy(p) {
		want := o.mirrors[call]
		if want != "" && !slices.Contains(made, want) && !slices.Contains(made, want+" again") {
			return fmt.Errorf("%q was called, and not %q to undo it", call, want)
		}
	}
	return nil
}

// mirrorOf returns the call that undoes another, "" where the packet has none.
func mirrorOf(call string, p *packets) string {
	packet, rest, _ := strings.Cut(call, " ")
	name, _, _ := strings.Cut(rest, " ")
	mirror := map[string]james.ScriptName{
		"preinst": james.Postrm, "postrm": james.Preinst, "postinst": james.Prerm, "prerm": james.Postinst,
	}[name]
	for _, m := range p.manifests {
		if m.Name+"-"+m.Tags.String() == packet && len(m.Scripts[mirror]) > 0 {
			return packet + " " + string(mirror) + " restore"
		}
	}
	return ""
}
