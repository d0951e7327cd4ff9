package need_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/need"
)

// spy is a test that panics with how it was ended.
type spy struct{ testing.TB }

func (*spy) Helper()                 {}
func (s *spy) Skipf(string, ...any)  { panic("skipped") }
func (s *spy) Fatalf(string, ...any) { panic("failed") }

func TestLack(t *testing.T) {
	for name, want := range map[string]string{"JAMES_TEST_REQUIRE_MOUNTS": "failed", "JAMES_TEST_REQUIRE_ROOT": "skipped"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("JAMES_TEST_REQUIRE_MOUNTS", "")
			t.Setenv(name, "1")
			defer func() {
				if got := recover(); got != want {
					t.Errorf("it was %v, not %s", got, want)
				}
			}()
			need.Lack(&spy{t}, need.Mounts, "mount: %v", "no")
		})
	}
}
