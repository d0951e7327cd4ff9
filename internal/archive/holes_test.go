package archive_test

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// TestDataOf compares what is counted, however the content arrives, with the
// blocks that would be written.
func TestDataOf(t *testing.T) {
	t.Parallel()
	for n := range 200 {
		rnd := rand.New(rand.NewPCG(uint64(n), 1))
		content := make([]byte, rnd.IntN(10*james.DataUnit))
		for range rnd.IntN(5) {
			if len(content) > 0 {
				content[rnd.IntN(len(content))] = 1
			}
		}
		var want int64
		for at := 0; at < len(content); at += james.DataUnit {
			if piece := content[at:min(at+james.DataUnit, len(content))]; !bytes.Equal(piece, make([]byte, len(piece))) {
				want += james.DataUnit
			}
		}
		for _, in := range []string{"whole", "halves", "bytes"} {
			r := map[string]func() (int64, error){
				"whole":  func() (int64, error) { return archive.DataOf(bytes.NewReader(content)) },
				"halves": func() (int64, error) { return archive.DataOf(iotest.HalfReader(bytes.NewReader(content))) },
				"bytes":  func() (int64, error) { return archive.DataOf(iotest.OneByteReader(bytes.NewReader(content))) },
			}[in]
			if got, err := r(); got != want || err != nil {
				t.Fatalf("seed %d, in %s: %d, %v, want %d", n, in, got, err, want)
			}
		}
	}
}
