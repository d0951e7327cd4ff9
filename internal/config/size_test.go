package config_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/config"
)

func TestSize(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text  string
		bytes int64 // -1 where it is refused
		back  string
	}{
		{"0", 0, "0"},
		{"1", 1, "1"},
		{"1023B", 1023, "1023"},
		{"1KiB", 1024, "1KiB"},
		{"500MiB", 500 << 20, "500MiB"},
		{"8G", 8 << 30, "8GiB"},
		{"2 TiB", 2 << 40, "2TiB"},
		{"1536KiB", 1536 << 10, "1536KiB"},
		{"", -1, ""},
		{"MiB", -1, ""},
		{"-1", -1, ""},
		{"1.5GiB", -1, ""},
		{"200kB", 200_000, "200kB"},
		{"200KB", 200_000, "200kB"},
		{"1GB", 1e9, "1GB"},
		{"1kb", -1, ""},
		{"9999999TiB", -1, ""},
	} {
		var s config.Size
		err := s.Set(row.text)
		switch {
		case (err != nil) != (row.bytes < 0):
			t.Errorf("%q: %v", row.text, err)
		case err == nil && (int64(s) != row.bytes || s.String() != row.back):
			t.Errorf("%q is %d, %s", row.text, int64(s), s.String())
		}
	}
}
