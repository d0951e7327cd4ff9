package delta_test

import (
	"bytes"
	"compress/flate"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trusch/jamesd/internal/delta"
	"github.com/trusch/jamesd/internal/need"
)

// published returns a file of a package of Debian as published in a directory beside
// the repository; a test that finds none is skipped.
func published(t testing.TB, pkg, path string) []byte {
	t.Helper()
	all, dir := need.Packages(t), t.TempDir()
	at := slices.IndexFunc(all, func(deb string) bool { return filepath.Base(deb) == pkg })
	if at < 0 {
		need.Lack(t, need.Published, "%s is not among the published packages here", pkg)
	}
	if out, err := exec.Command(need.Tool(t, "dpkg-deb"), "-x", all[at], dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	content, err := os.ReadFile(filepath.Join(dir, path))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// compressed returns the size of patches in one batch, compressed with what the
// standard library has.
func compressed(t testing.TB, patches ...*delta.Patch) int {
	t.Helper()
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(delta.AppendBatch(nil, patches))
	w.Close()
	return out.Len()
}

func TestPublished(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, old, new, path string
		most                 int // bytes of the patch, compressed
	}{
		{"nginx", "nginx_1.22.1-9+deb12u9_amd64.deb", "nginx_1.22.1-9+deb12u10_amd64.deb", "usr/sbin/nginx", 22_000},
		{"openssl", "openssl_3.0.17-1~deb12u2_amd64.deb", "openssl_3.0.22-1~deb12u2_amd64.deb", "usr/bin/openssl", 30_500},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			old, want := published(t, tt.old, tt.path), published(t, tt.new, tt.path)
			p := mustMake(t, old, want, delta.Limits{})
			checkMakes(t, p, old, want)
			checkMakes(t, p.From(100_000), old, want[100_000:])
			if n := compressed(t, p); n > tt.most {
				t.Errorf("the patch takes %d bytes, want %d at most", n, tt.most)
			}
		})
	}
}
