package api_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/trusch/jamesd/internal/server/api"
	"github.com/trusch/jamesd/pkg/james"
)

// TestIdlePoll: the short way of reading a poll takes what encoding/json writes, and
// what it takes is what encoding/json reads.
func TestIdlePoll(t *testing.T) {
	t.Parallel()
	same, known := james.DigestOf([]byte("a")), james.DigestOf([]byte("b"))
	full := james.PollRequest{Same: same, Known: known, KnownRevision: 12, Wait: 300}
	for _, req := range []james.PollRequest{
		{Same: same}, {Same: same, Wait: 1}, {Same: same, Known: known}, {Same: same, KnownRevision: 7, Wait: 60}, full,
	} {
		raw, err := json.Marshal(req)
		must(t, err)
		var got james.PollRequest
		if !api.ParseIdlePoll(raw, &got) || got != req {
			t.Errorf("%s is %+v", raw, got)
		}
	}
	whole, err := json.Marshal(full)
	must(t, err)
	digest := `"` + same.String() + `"`
	for _, raw := range append(prefixes(string(whole)),
		`{"wait":1}`, `{"same":`+digest+`,"wait":0}`, `{"same":`+digest+`,"wait":01}`, `{"same":`+digest+`,"wait":-1}`, `{"same":`+digest+`,"wait":1e3}`,
		`{"same":`+digest+`,"wait":1.5}`, `{"same":`+digest+`,"wait":123456789}`, `{"same":`+digest+`,"wait":1234567890}`, `{"same":`+digest+`,"wait":1} `,
		`{"same":`+digest+`,"wait":1}{}`, `{"same":`+digest+`,"wait":1,"wait":2}`, `{"same":`+digest+`,"report":{}}`, `{"same":`+strings.ToUpper(digest)+`}`,
		`{"same":""}`, `{"same":"`+strings.Repeat(`\u0061`, 64)+`"}`, `{"same":`+digest+`,}`, ` {"same":`+digest+`}`, ``) {
		var quick, slow james.PollRequest
		if api.ParseIdlePoll([]byte(raw), &quick) && (json.Unmarshal([]byte(raw), &slow) != nil || slow != quick) {
			t.Errorf("%s is %+v, encoding/json says %+v", raw, quick, slow)
		}
	}
}

// prefixes returns all that s begins with.
func prefixes(s string) (all []string) {
	for i := range len(s) {
		all = append(all, s[:i])
	}
	return all
}
