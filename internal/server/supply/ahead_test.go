package supply_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// prose returns text that compresses, the better the harder one tries.
func prose(seed, words int) []byte {
	var b strings.Builder
	state := uint64(seed)*2 + 1
	for range words {
		state = state*6364136223846793005 + 1442695040888963407
		fmt.Fprintf(&b, "%s%d ", []string{"jam", "james", "packet", "device", "fleet"}[state>>61%5], state>>54)
	}
	return []byte(b.String())
}

// TestAhead: what several devices are going to want is there before they ask, and
// smaller than what is made while one waits.
func TestAhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	text := prose(1, 20_000)
	old := w.add("app", "v1", contents{"lib": text, "same": noisy(1, 1000)})
	new := w.add("app", "v2", contents{"lib": edited(text, 5000), "more": prose(2, 20_000), "same": noisy(1, 1000)})
	fresh := w.add("fresh", "v1", contents{"a": prose(3, 20_000), "b": prose(3, 20_000), "c": {}})
	quick := w.get(ask(new, []int{0, 1}))
	for i := range 3 {
		w.has(fmt.Sprint("d", i), old)
		w.want(fmt.Sprint("d", i), new, fresh)
	}
	w.run()
	before := w.Stats()
	if before.Ahead != 1 {
		t.Errorf("%+v", before)
	}
	plan := w.has("d0", old).Plan
	req := &james.BlobsRequest{Have: []james.Digest{old.Digest}}
	for _, step := range plan.Steps {
		entries := map[james.Digest]james.Indices{new.Digest: james.IndicesOf(0, 1), fresh.Digest: james.IndicesOf(0)}[step.New.Digest]
		req.Packets = append(req.Packets, james.Wants{Packet: step.New.Digest, Entries: entries})
	}
	got := w.get(req)
	if after := w.Stats(); after.Streams != before.Streams || after.Hits != before.Hits+1 || got.patched() != 1 {
		t.Errorf("it was not there: %+v after %+v, %v", after, before, got.pieces)
	}
	if got.size > quick.size+quick.size/2 {
		t.Errorf("%d bytes for both packets, %d for one", got.size, quick.size)
	}
}

// TestPopular: a stream that a second device asks for is made with care, and with xz
// where that is allowed; the smallest goes out.
func TestPopular(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	var table []byte // of the kind that xz is good at
	for i := range 40_000 {
		table = binary.LittleEndian.AppendUint32(table, uint32(i*i/7))
	}
	p := w.add("app", "v1", contents{"f": table})
	slow := ask(p, []int{0})
	slow.XZ = true
	first := w.get(ask(p, []int{0}))
	w.run()
	if n := w.Stats().Ahead; n != 0 {
		t.Errorf("%d streams were made ahead of the first request", n)
	}
	if again := w.get(slow); again.etag != first.etag {
		t.Errorf("the second device got %s after %s", again.etag, first.etag)
	}
	w.run()
	small, tiny := w.get(ask(p, []int{0})), w.get(slow)
	if n := w.Stats().Ahead; n != 2 || small.size >= first.size || tiny.size >= small.size {
		t.Errorf("%d, then %d, with xz %d bytes; %d made ahead", first.size, small.size, tiny.size, n)
	}
	for _, g := range []*got{first, small, tiny} {
		if !bytes.Equal(g.content[[2]int{0, 0}], table) {
			t.Error("it came out wrong")
		}
	}
}

// TestPopularOnce: a stream that many ask for takes no place from another one.
func TestPopularOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 64<<20)
	p := w.add("p", "v1", contents{"a": noisy(1, 1000), "b": noisy(2, 1000)})
	for range 80 {
		w.get(ask(p, []int{0}))
	}
	for range 2 {
		w.get(ask(p, []int{1}))
	}
	w.run()
	if s := w.Stats(); s.Ahead != 2 {
		t.Errorf("%+v", s)
	}
}
