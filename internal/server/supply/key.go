package supply

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// version is part of the key of each stream. It is to be changed where the same
// wish is answered with other bytes, lest a stream of a jamesd before is sent.
const version = "2"

// key names a stream in the cache: by what is wanted, and by how it is sent.
type key struct{ wants, way string }

func (k key) String() string { return "stream " + k.wants + " " + k.way }

// wantsOf returns the part of the key that says which contents a stream holds. It
// follows from the request alone.
func wantsOf(req *james.BlobsRequest) string {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", version)
	for _, w := range req.Packets {
		fmt.Fprintf(h, "%s %s %d\n", w.Packet, w.Entries, w.Offset)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// key returns the key of the stream that holds the order in a form.
func (o *order) key(f form) key {
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", f.name)
	for i, it := range o.items {
		if b := it.base; b != nil {
			fmt.Fprintf(h, "%d %d %d %s\n", i, b.have, b.entry, b.file.Digest)
		}
	}
	return key{wantsOf(o.req), hex.EncodeToString(h.Sum(nil)[:16])}
}

// etag returns the ETag of an entry of the cache under a key. It names the bytes:
// a stream that is made again has another.
func (k key) etag(e *cache.Entry) string { return `"` + k.way + "-" + e.ID() + `"` }

// parseETag returns what etag made an ETag of, but for what is wanted.
func parseETag(etag string) (way, id string, ok bool) {
	text, quoted := strings.CutPrefix(etag, `"`)
	text, ended := strings.CutSuffix(text, `"`)
	way, id, ok = strings.Cut(text, "-")
	return way, id, ok && quoted && ended && len(way) == 32
}
