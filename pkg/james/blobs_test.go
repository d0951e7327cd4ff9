package james_test

import (
	"encoding/json"
	"testing"

	"github.com/trusch/jamesd/pkg/james"
)

func TestBlobsRequest(t *testing.T) {
	t.Parallel()
	a, b := james.DigestOf([]byte("a")), james.DigestOf([]byte("b"))
	some := james.IndicesOf(1, 2, 5)
	many := make([]james.Digest, james.MaxHave+1)
	for name, row := range map[string]struct {
		req  james.BlobsRequest
		kind james.Kind
	}{
		"two packets":        {req: james.BlobsRequest{Packets: []james.Wants{{Packet: a, Entries: some, Whole: james.IndicesOf(5), Offset: 7}, {Packet: b, Entries: some}}, Have: []james.Digest{a}, XZ: true}},
		"nothing":            {kind: james.KindInvalid},
		"one packet twice":   {james.BlobsRequest{Packets: []james.Wants{{Packet: a, Entries: some}, {Packet: a, Entries: some}}}, james.KindInvalid},
		"no packet":          {james.BlobsRequest{Packets: []james.Wants{{Entries: some}}}, james.KindInvalid},
		"no entry":           {james.BlobsRequest{Packets: []james.Wants{{Packet: a}}}, james.KindInvalid},
		"negative offset":    {james.BlobsRequest{Packets: []james.Wants{{Packet: a, Entries: some, Offset: -1}}}, james.KindInvalid},
		"whole, not wanted":  {james.BlobsRequest{Packets: []james.Wants{{Packet: a, Entries: some, Whole: james.IndicesOf(3)}}}, james.KindInvalid},
		"too many are there": {james.BlobsRequest{Packets: []james.Wants{{Packet: a, Entries: some}}, Have: many}, james.KindInvalid},
	} {
		if err := row.req.Validate(); james.KindOf(err) != row.kind {
			t.Errorf("%s: %v, not of kind %q", name, err, row.kind)
		}
		raw, err := json.Marshal(row.req)
		if err != nil {
			t.Fatal(err)
		}
		var again james.BlobsRequest
		if err := json.Unmarshal(raw, &again); err != nil {
			t.Errorf("%s: %s: %v", name, raw, err)
		}
		if twice, _ := json.Marshal(again); string(twice) != string(raw) {
			t.Errorf("%s: %s became %s", name, raw, twice)
		}
	}
}
