package archive_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

// TestScanTo hands out the contents, of which each may be left in the middle.
func TestScanTo(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, dir("d"), file("d/b", "second\n"), symlink("d/s", "b"), file("d/a", noise(100_000)), hardlink("d/h", "d/b"), file("d/empty", ""))
	want := listing(mustScan(t, raw))
	for _, format := range formats {
		packed := pack(t, format, raw)
		for _, most := range []int64{0, 3, 1 << 20} {
			var got []string
			take := func(e *james.Entry, content io.Reader) error {
				read, err := io.ReadAll(io.LimitReader(content, most))
				got = append(got, string(e.Path)+" "+string(read[:min(len(read), 6)]))
				return err
			}
			entries, _, err := archive.ScanTo(context.Background(), bytes.NewReader(packed), archive.Limits{}, take)
			if err != nil || listing(entries) != want {
				t.Fatalf("%s: %v\n%s", format, err, listing(entries))
			}
			cut := func(s string) string { return s[:min(int64(len(s)), most, 6)] }
			if list := []string{"d/b " + cut("second"), "d/a " + cut(noise(6)), "d/empty "}; !slices.Equal(got, list) {
				t.Errorf("%s, %d bytes of each: %q, want %q", format, most, got, list)
			}
		}
	}
}

func TestScanToFails(t *testing.T) {
	t.Parallel()
	raw := makeTar(t, file("a", "first"), file("b", noise(100_000)))
	refused := errors.New("no room")
	_, _, err := archive.ScanTo(context.Background(), bytes.NewReader(raw), archive.Limits{}, func(e *james.Entry, _ io.Reader) error {
		if e.Path == "b" {
			return refused
		}
		return nil
	})
	if err != refused {
		t.Errorf("the error is %v", err)
	}
	var seen error
	_, _, err = archive.ScanTo(context.Background(), bytes.NewReader(raw[:50_000]), archive.Limits{}, func(_ *james.Entry, content io.Reader) error {
		_, seen = io.Copy(io.Discard, content)
		return seen
	})
	checkRefused(t, err, james.KindInvalid, "truncated")
	if seen != err || !strings.Contains(seen.Error(), "in b") {
		t.Errorf("the content fails with %v", seen)
	}
}
