package james

// BlobsRequest is the body of POST /v1/blobs. The answer is a stream of the
// contents of the files that are wanted, in the order of Packets and, in each, of
// Entries; package stream has its form. Its ETag names the bytes of the stream:
// who has some of them and sends the request again with Range and If-Range gets
// the rest, unless the server has them no more; then all of the stream comes.
type BlobsRequest struct {
	Packets []Wants `json:"packets"`
	// Have are installed packets. The files of those may be the bases of patches.
	Have []Digest `json:"have,omitempty"`
	// XZ says that the stream may be compressed with xz where that makes it smaller:
	// the link is slow, and decoding xz is quick enough. It is a wish: a site's cache
	// gives everybody what it has, and the stream says how it is compressed.
	XZ bool `json:"xz,omitzero"`
	// Fast says that the link is so fast that a stream may be larger if it takes the
	// server less time.
	Fast bool `json:"fast,omitzero"`
	// Offer asks for a BlobsOffer in place of the stream.
	Offer bool `json:"offer,omitzero"`
}

// Wants are files of one packet, whose contents are wanted.
type Wants struct {
	Packet Digest `json:"packet"`
	// Entries are the places of files in the packet's manifest.
	Entries Indices `json:"entries"`
	// Whole are those of Entries that must not come as patches, as their bases are
	// not what the manifests say.
	Whole Indices `json:"whole,omitzero"`
	// Offset is how much of the first of Entries is there, in bytes: the stream
	// begins with the rest of it.
	Offset int64 `json:"offset,omitzero"`
}

// Limits of a BlobsRequest.
const (
	MaxWants = MaxApps // packets of which something is wanted
	MaxHave  = MaxApps
)

// Validate returns an error of KindInvalid for a request that cannot be meant:
// nothing wanted, more than MaxWants or MaxHave packets, one packet twice, none of
// a packet's entries, entries that are to come whole and not at all, or a negative
// offset.
func (r *BlobsRequest) Validate() error {
	switch {
	case len(r.Packets) == 0:
		return Errorf(KindInvalid, "packets", "nothing is wanted")
	case len(r.Packets) > MaxWants || len(r.Have) > MaxHave:
		return Errorf(KindInvalid, "packets", "%d are wanted and %d are there, the limit is %d", len(r.Packets), len(r.Have), MaxWants)
	}
	seen := make(map[Digest]bool, len(r.Packets))
	for i := range r.Packets {
		w := &r.Packets[i]
		if seen[w.Packet] {
			return Errorf(KindInvalid, "packet "+w.Packet.Short(), "is listed twice")
		}
		seen[w.Packet] = true
		if err := w.validate(); err != nil {
			return err
		}
	}
	return nil
}

func (w *Wants) validate() error {
	name := "packet " + w.Packet.Short()
	switch {
	case w.Packet.IsZero():
		return Errorf(KindInvalid, "packet", "has no digest")
	case w.Entries.IsZero():
		return Errorf(KindInvalid, name, "none of its entries is wanted")
	case w.Offset < 0:
		return Errorf(KindInvalid, name, "the offset %d is negative", w.Offset)
	}
	for i := range w.Whole.All() {
		if !w.Entries.Has(i) {
			return Errorf(KindInvalid, name, "entry %d is to come whole and is not wanted", i)
		}
	}
	return nil
}

// BlobsOffer says what a stream would take.
type BlobsOffer struct {
	// Size is the bytes of the stream. It is an estimate unless Exact is set, and
	// 0 where nothing is known.
	Size  int64 `json:"size"`
	Exact bool  `json:"exact,omitzero"`
	// Patched counts the entries that come as patches, Whole the others.
	Patched int `json:"patched"`
	Whole   int `json:"whole"`
}
