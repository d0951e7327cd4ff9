package james_test

import (
	"errors"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

// TestInRequest: an error keeps what it is and says, and the first id that it was given.
func TestInRequest(t *testing.T) {
	t.Parallel()
	cause := errors.New("cause")
	plain := james.Errorf(james.KindUnavailable, "store", "is away: %w", cause).WithHint("Wait.")
	e := plain.InRequest("a-1")
	if james.RequestOf(plain) != "" || james.RequestOf(e) != "a-1" || james.RequestOf(e.InRequest("b-2")) != "a-1" || james.RequestOf(nil) != "" {
		t.Errorf("the ids are %q, %q, %q", james.RequestOf(plain), james.RequestOf(e), james.RequestOf(e.InRequest("b-2")))
	}
	if e.Error() != plain.Error() || e.Kind != plain.Kind || james.HintOf(e) != "Wait." || !errors.Is(e, cause) {
		t.Errorf("it became %v", e)
	}
	if got := james.Cannot("list devices", "", e); james.RequestOf(got) != "a-1" || got.Error() != "cannot list devices: store: is away: cause" {
		t.Errorf("the operation failed with %v", got)
	}
	if got := (&james.Error{Kind: james.KindDenied}).InRequest("a-1"); got.Error() != "denied" {
		t.Errorf("without words it says %q", got)
	}
	if plain.InRequest("") != plain {
		t.Error("no id makes another error")
	}
}
