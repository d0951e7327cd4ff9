package resolve_test

import (
	"fmt"
	"testing"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/pkg/james"
)

// fleet returns 10,000 packets of 200 names, in 10 versions for 5 systems each,
// and a device that wants 10 of them.
func fleet() (*resolve.Catalogue, []james.App, *james.Desired, james.TagSet) {
	c := new(resolve.Catalogue)
	systems := []string{"armv6l", "armv7l", "aarch64", "x86_64", "riscv64"}
	for n := range 200 {
		for v := range 10 {
			for _, s := range systems {
				c.Add(packet(fmt.Sprintf("packet-%d", n), fmt.Sprintf("v1.%d.0,%s,glibc-2.31,systemd", v, s)))
			}
		}
	}
	system := james.MustTags("armv7l,debian-11,glibc-2.31,systemd")
	desired := &james.Desired{Revision: 1}
	var installed []james.App
	for n := range 10 {
		wanted := app(fmt.Sprintf("packet-%d v1.%d.0", n, n))
		desired.Apps = append(desired.Apps, wanted)
		p, _ := resolve.Find(c, wanted, system)
		installed = append(installed, p.App())
	}
	return c, installed, desired, system
}

// BenchmarkPlan has a budget of 50 µs in each row.
func BenchmarkPlan(b *testing.B) {
	c, installed, desired, system := fleet()
	for _, row := range []struct {
		name      string
		installed []james.App
	}{{"nothing to do", installed}, {"all to install", nil}} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				plan := resolve.Plan(c, row.installed, desired, system)
				if len(plan.Steps)+len(row.installed) != 10 {
					b.Fatal(plan)
				}
			}
		})
	}
}

func TestPlanOfNothingToDoCostsNoMemory(t *testing.T) {
	c, installed, desired, system := fleet()
	if n := testing.AllocsPerRun(100, func() { resolve.Plan(c, installed, desired, system) }); n > 0 {
		t.Errorf("a plan of nothing to do makes %v allocations", n)
	}
}
