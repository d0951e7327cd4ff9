package server_test

import (
	"bytes"
	"crypto/sha256"
	"io"
	"testing"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// TestStreamAfterCrash: a stream that was whole when jamesd was killed goes on where
// the device was, under its ETag, and is not made again.
func TestStreamAfterCrash(t *testing.T) {
	t.Parallel()
	db := t.TempDir()
	var noise bytes.Buffer
	for block := [32]byte{}; noise.Len() < 1<<20; block = sha256.Sum256(block[:]) {
		noise.Write(block[:])
	}
	p := run(t, nil, standard(db)...)
	p.logged(t, "ready")
	admin, device := p.client(t, "root"), p.client(t, "device-1")
	added, err := admin.AddPacket(t.Context(), james.AddPacketRequest{Name: "noise"}, bytes.NewReader(tarOf(t, noise.String())))
	must(t, err)
	report := &james.DeviceReport{}
	_, err = device.Poll(t.Context(), james.PollRequest{Report: report})
	must(t, err)
	_, err = admin.SetDesired(t.Context(), james.SetDesiredRequest{State: james.State{ID: "device-1", Apps: []james.App{{Name: "noise"}}}})
	must(t, err)
	req := james.BlobsRequest{Packets: []james.Wants{{Packet: added.Packet.Digest, Entries: james.IndicesOf(0)}}}
	whole, etag := stream(t, device, req, "", 0)
	if len(whole) < noise.Len() {
		t.Fatalf("a stream of %d bytes", len(whole))
	}
	must(t, p.cmd.Process.Kill())
	<-p.ended

	p = run(t, nil, standard(db)...)
	p.logged(t, "ready")
	rest, again := stream(t, p.client(t, "device-1"), req, etag, 400_000)
	if again != etag || !bytes.Equal(rest, whole[400_000:]) {
		t.Errorf("%d bytes of %s, before it was %s", len(rest), again, etag)
	}
}

func stream(t *testing.T, c *client.Client, req james.BlobsRequest, etag string, offset int64) ([]byte, string) {
	t.Helper()
	s, err := c.Blobs(t.Context(), req, etag, offset)
	must(t, err)
	defer s.Close()
	raw, err := io.ReadAll(s)
	must(t, err)
	return raw, s.ETag
}
