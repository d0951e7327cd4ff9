package txn_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// recordEnds returns where the records of a journal end, with 0 for its beginning.
func recordEnds(raw []byte) []int {
	ends := []int{0}
	for at := 0; at+8 < len(raw); {
		at += 8 + int(binary.LittleEndian.Uint32(raw[at:]))
		ends = append(ends, at)
	}
	return ends
}

// spoils are ways in which flash spoils the record from one byte to another.
var spoils = []struct {
	name string
	make func(raw []byte, from, to int) []byte
}{
	{"cut off before", func(raw []byte, from, _ int) []byte { return raw[:from] }},
	{"a bit of the length in", func(raw []byte, from, _ int) []byte { raw[from] ^= 4; return raw }},
	{"a bit of the content of", func(raw []byte, _, to int) []byte { raw[to-2] ^= 4; return raw }},
	{"zeros from", func(raw []byte, from, _ int) []byte { clear(raw[from:]); return raw }},
}

// TestEveryRecordCanBeLost ends the device at an operation and takes a record of
// the journal from it with all that follow, also such as were durable.
func TestEveryRecordCanBeLost(t *testing.T) {
	t.Parallel()
	for _, s := range fewScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			results := map[james.Result]int{}
			for _, n := range fewPoints(want.ops, len(s.name)+1) {
				for k, records := 0, 1; k < records; k++ {
					if os.Getenv("JAMES_TEST_EVERY_POINT") == "" && k > 0 && int64(k)%4 != n%4 {
						continue
					}
					damage := spoils[(int64(k)+n)%int64(len(spoils))]
					tr := newTrial(t, s)
					tr.hook = dieAt(n, true)
					tr.run()
					tr.hook = nil
					tr.close()
					file := filepath.Join(tr.state, "journal")
					raw := must(os.ReadFile(file))
					ends := recordEnds(raw)
					if records = len(ends) - 1; k >= records {
						continue // the journal is empty here
					}
					when := fmt.Sprintf("dead after operation %d, %s record %d of %d", n, damage.name, k+1, records)
					if err := os.WriteFile(file, damage.make(raw, ends[k], ends[k+1]), 0o600); err != nil {
						t.Fatal(err)
					}
					results[tr.revive(when, want)]++
				}
			}
			if results[james.Committed] == 0 || results[james.RolledBack] == 0 {
				t.Errorf("results %v", results)
			}
		})
	}
}

// TestRecoveryOfADamagedJournal ends the device once more while it recovers
// without the beginning of its journal.
func TestRecoveryOfADamagedJournal(t *testing.T) {
	t.Parallel()
	for _, s := range fewScenarios()[:2] {
		want := reference(t, s)
		for _, n := range fewPoints(want.ops/8, 1) {
			n = n * 8
			for m := 1 + n%7; ; m += 7 {
				tr := newTrial(t, s)
				tr.hook = dieAt(n, true)
				tr.run()
				tr.hook = nil
				tr.close()
				file := filepath.Join(tr.state, "journal")
				raw := must(os.ReadFile(file))
				if len(raw) > 0 {
					raw[20] ^= 1
				}
				if err := os.WriteFile(file, raw, 0o600); err != nil {
					t.Fatal(err)
				}
				dead := false
				die := dieAt(m, true)
				tr.hook = func(before bool, op disk.Op) error {
					err := die(before, op)
					dead = dead || err != nil
					return err
				}
				tr.start()
				tr.hook = nil
				tr.reviveLoosely(fmt.Sprintf("dead after operation %d, then %d without a beginning", n, m), want)
				if !dead {
					break
				}
			}
		}
	}
}

// TestEitherCopyCanBeLost ends the device at an operation and damages one of the
// two files that hold the inventory, of before or of after.
func TestEitherCopyCanBeLost(t *testing.T) {
	t.Parallel()
	for _, s := range fewScenarios() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			want := reference(t, s)
			for _, n := range fewPoints(want.ops, len(s.name)+3) {
				for k, pair := range [][]string{{"state.json", "next.json"}, {"state.backup.json", "next.backup.json"}} {
					tr := newTrial(t, s)
					tr.hook = dieAt(n, true)
					tr.run()
					tr.hook = nil
					tr.close()
					for _, name := range pair {
						file := filepath.Join(tr.state, name)
						raw, err := os.ReadFile(file)
						switch {
						case err != nil || len(raw) == 0:
						case n%2 == 0:
							raw = raw[:len(raw)/2]
						default:
							raw[len(raw)/2] ^= 2
						}
						if err == nil {
							os.WriteFile(file, raw, 0o600)
						}
					}
					tr.revive(fmt.Sprintf("dead after operation %d, copy %d damaged", n, k), want)
				}
			}
		})
	}
}

// TestDamagedCopyIsMended damages one file of the inventory, which the next start
// writes again, and both.
func TestDamagedCopyIsMended(t *testing.T) {
	t.Parallel()
	for _, damage := range []struct {
		name string
		do   func(file string, raw []byte)
	}{
		{"gone", func(file string, _ []byte) { os.Remove(file) }},
		{"empty", func(file string, _ []byte) { os.WriteFile(file, nil, 0o600) }},
		{"another letter in a name", func(file string, raw []byte) {
			os.WriteFile(file, []byte(strings.Replace(string(raw), `"name":"a"`, `"name":"e"`, 1)), 0o600)
		}},
		{"another key", func(file string, raw []byte) {
			os.WriteFile(file, []byte(strings.Replace(string(raw), `"sum"`, `"sun"`, 1)), 0o600)
		}},
	} {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.mustStart()
			a := w.pack(t, "a v1", nil, file("x", "1"))
			w.must(install(a))
			files := []string{filepath.Join(w.state, "state.json"), filepath.Join(w.state, "state.backup.json")}
			whole := must(os.ReadFile(files[0]))
			for _, name := range files {
				damage.do(name, whole)
				w.mustStart()
				if now := must(os.ReadFile(name)); string(now) != string(whole) {
					t.Errorf("%s is %q, was %q", filepath.Base(name), now, whole)
				}
			}
			if st := must(os.Stat(files[0])); os.SameFile(st, must(os.Stat(files[1]))) {
				t.Error("both are one file")
			}
			w.close()
			for _, name := range files {
				damage.do(name, whole)
			}
			err := w.open()
			if damage.name == "gone" {
				return // nothing says that anything was installed
			}
			if james.KindOf(err) != james.KindCorrupt || !strings.Contains(err.Error(), "state.json") || james.HintOf(err) == "" {
				t.Errorf("without any copy: %v", err)
			}
		})
	}
}

// TestInventoryOfBefore starts with an inventory as it was written before there
// was a checksum and a copy.
func TestInventoryOfBefore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustStart()
	a := w.pack(t, "a v1", nil, file("d/x", "1"))
	w.must(install(a))
	w.close()
	os.Remove(filepath.Join(w.state, "state.backup.json"))
	old := fmt.Sprintf(`{"apps":[{"name":"a","tags":["v1"],"digest":"%s"}],"dirs":["d"]}`, a.Digest)
	if err := os.WriteFile(filepath.Join(w.state, "state.json"), []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	w.mustStart()
	w.must(remove(a))
	if got := w.names(); got != "" {
		t.Errorf("left: %s", got)
	}
}
