package cache_test

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/server/cache"
)

// model says what a cache must hold: the keys in the order of their last use.
type model struct {
	limit int64
	order []string
	sizes map[string]int
	open  map[string][]*cache.Entry
}

// takes returns what a whole entry of that size takes on the disk.
func takes(size int) int64 {
	file := size + 4*((size+cache.Block-1)/cache.Block) + 68
	return int64((file + cache.Page - 1) / cache.Page * cache.Page)
}

func (m *model) used() (n int64) {
	for _, key := range m.order {
		n += takes(m.sizes[key])
	}
	return n
}

func (m *model) use(key string) {
	m.order = slices.DeleteFunc(m.order, func(k string) bool { return k == key })
	m.order = append(m.order, key)
}

// add makes room and returns whether there is enough.
func (m *model) add(key string, size int) bool {
	for m.used()+takes(size) > m.limit {
		victim := slices.IndexFunc(m.order, func(k string) bool { return len(m.open[k]) == 0 })
		if victim < 0 {
			return false
		}
		m.order = slices.Delete(m.order, victim, victim+1)
	}
	m.sizes[key] = size
	m.use(key)
	return true
}

func (m *model) has(key string) bool { return slices.Contains(m.order, key) }

// TestModel does what comes to its mind and compares with the model.
func TestModel(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := &world{t: t, dir: t.TempDir(), rand: rand.New(rand.NewPCG(seed, 1))}
			w.m = model{limit: 40 * cache.Page, sizes: map[string]int{}, open: map[string][]*cache.Entry{}}
			w.c = open(t, w.dir, w.m.limit)
			for step := range 300 {
				w.step()
				if w.check(); t.Failed() {
					t.Fatalf("after step %d", step)
				}
			}
		})
	}
}

type world struct {
	t    *testing.T
	dir  string
	rand *rand.Rand
	c    *cache.Cache
	m    model
}

func (w *world) step() {
	key := fmt.Sprint("key ", w.rand.IntN(30))
	switch n := w.rand.IntN(100); {
	case n < 40:
		w.fill(key, w.rand.IntN(3*cache.Block))
	case n < 60:
		w.read(key)
	case n < 75:
		w.hold(key)
	case n < 95:
		w.letGo(key)
	case n < 97:
		w.restart(w.m.limit)
	default:
		w.restart(int64(20+w.rand.IntN(30)) * cache.Page)
	}
}

func (w *world) bytes(key string) []byte {
	return content(uint64(len(key))<<8+uint64(key[len(key)-1]), w.m.sizes[key])
}

func (w *world) fill(key string, size int) {
	if w.m.has(key) {
		e, err := w.c.Fill(w.t.Context(), key, never(w.t))
		if err != nil {
			w.t.Fatal(err)
		}
		e.Close()
		w.m.use(key)
		return
	}
	old := w.m.sizes[key]
	w.m.sizes[key] = size
	p := w.bytes(key)
	w.m.sizes[key] = old
	fits := w.m.add(key, size)
	e, err := w.c.Fill(w.t.Context(), key, writing(p))
	if err != nil {
		w.quiet()
		if fits {
			w.t.Error(err)
		}
		return
	}
	got, err := io.ReadAll(e)
	if !bytes.HasPrefix(p, got) || fits && (err != nil || len(got) != len(p)) {
		w.t.Errorf("%d bytes of %d came, error %v", len(got), len(p), err)
	}
	e.Close()
	w.quiet()
}

// quiet waits for the maker, which lets go of an entry after its readers have all of it.
func (w *world) quiet() { w.c.Quiet() }

func (w *world) read(key string) {
	if !w.m.has(key) {
		lacks(w.t, w.c, key)
		return
	}
	has(w.t, w.c, key, w.bytes(key))
	w.m.use(key)
}

func (w *world) hold(key string) {
	if e, ok := w.c.Open(w.t.Context(), key); ok {
		w.m.use(key)
		w.m.open[key] = append(w.m.open[key], e)
	}
}

func (w *world) letGo(key string) {
	for _, e := range w.m.open[key] {
		if got, err := io.ReadAll(e); err != nil || !bytes.Equal(got, w.bytes(key)) {
			w.t.Errorf("an open entry: %d bytes, error %v", len(got), err)
		}
		e.Close()
		w.m.use(key)
	}
	delete(w.m.open, key)
}

func (w *world) restart(limit int64) {
	for _, key := range slices.Sorted(maps.Keys(w.m.open)) {
		w.letGo(key)
	}
	w.c.Close()
	w.m.limit = limit
	for w.m.used() > limit {
		w.m.order = w.m.order[1:]
	}
	w.c = open(w.t, w.dir, limit)
}

func (w *world) check() {
	files := entryFiles(w.t, w.dir)
	var disk int64
	for _, file := range files {
		fi, err := os.Stat(file)
		if err != nil {
			w.t.Fatal(err)
		}
		disk += (fi.Size() + cache.Page - 1) / cache.Page * cache.Page
	}
	s := w.c.Stats()
	if disk > w.m.limit || s.Used != disk || s.Used != w.m.used() || s.Entries != len(w.m.order) || len(files) != s.Entries {
		w.t.Errorf("%d files of %d bytes, the cache counts %d of %d, the model %d of %d, the limit is %d",
			len(files), disk, s.Entries, s.Used, len(w.m.order), w.m.used(), w.m.limit)
	}
}
