package fleet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

func TestAddPacket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	archive := tarOf(t, "!", "etc/app.conf", "usr/bin/app")
	req := james.AddPacketRequest{Name: "app", Tags: james.MustTags("v1,armv7l"),
		Scripts: map[james.ScriptName][]byte{james.Postinst: []byte("true"), james.HealthCheck: []byte("exit 0"), james.Preinst: []byte("false")},
		Health:  &james.Health{Timeout: 30, Retries: 2}, Replaces: []string{"app-common", "appliance"}}
	resp, err := w.AddPacket(t.Context(), "alice", req, bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	p := resp.Packet
	if !resp.Added || !resp.Replaced.IsZero() || p.Name != "app" || p.Tags.String() != "armv7l,v1" || p.AddedBy != "alice" ||
		p.Entries != 2 || p.Size != int64(len("etc/app.conf!usr/bin/app!")) || !slices.Equal(p.Scripts, []james.ScriptName{james.Preinst, james.Postinst, james.HealthCheck}) ||
		*p.Health != *req.Health || !slices.Equal(p.Replaces, req.Replaces) {
		t.Errorf("the packet is %+v", resp)
	}
	if want := (james.Archive{Digest: james.DigestOf(archive), Size: int64(len(archive)), Format: "tar"}); p.Archive != want {
		t.Errorf("its archive is %+v, want %+v", p.Archive, want)
	}
	if got := w.Packets(); len(got) != 1 || got[0].Digest != p.Digest {
		t.Errorf("the packets are %v", got)
	}
	if got := must(w.Packet(p.Digest)); got.Archive != p.Archive {
		t.Errorf("it is found as %v", got)
	}

	r := must(w.OpenManifest(t.Context(), p.Digest))
	defer r.Close()
	m, err := james.DecodeManifest(r, p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "app" || len(m.Entries) != 2 || m.Entries[0].Path != "etc/app.conf" || string(m.Scripts[james.Postinst]) != "true" ||
		*m.Health != *req.Health || !slices.Equal(m.Replaces, req.Replaces) {
		t.Errorf("the manifest is %+v", m)
	}
	a, ar, err := w.OpenArchive(t.Context(), p.Digest)
	if err != nil {
		t.Fatal(err)
	}
	defer ar.Close()
	if got := must(io.ReadAll(ar)); !bytes.Equal(got, archive) || a != p.Archive {
		t.Error("the archive is not the one that was uploaded")
	}
	if got := w.events(); !slices.Equal(got, []string{"packet-added - app armv7l,v1 alice"}) {
		t.Errorf("events %q", got)
	}
}

// TestAddPacketThatReplaces keeps the names sorted in the manifest, so that their
// order makes no other packet.
func TestAddPacketThatReplaces(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := func(replaces ...string) (james.AddPacketResponse, error) {
		req := james.AddPacketRequest{Name: "a", Tags: james.MustTags("v1"), Replaces: replaces}
		return w.AddPacket(t.Context(), "alice", req, bytes.NewReader(tarOf(t, "x", "etc/a")))
	}
	first := must(add("c", "b", "c"))
	if got := first.Packet.Replaces; !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("it replaces %q", got)
	}
	if again := must(add("b", "c")); again.Added || again.Packet.Digest != first.Packet.Digest {
		t.Errorf("the same again: %+v", again)
	}
	for _, bad := range []string{"a", "", "x/y"} {
		_, err := add(bad)
		wantError(t, err, james.KindInvalid)
	}
	_, err := add()
	wantError(t, err, james.KindExists)
}

func TestAddPacketAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := must(w.upload("a v1", "x", false))
	before := digests(t, w.blobs)

	again := must(w.upload("a v1", "x", false))
	if again.Added || again.Packet.Digest != first.Packet.Digest {
		t.Errorf("the same content again is %+v", again)
	}
	padded := append(tarOf(t, "x", "usr/bin/a"), make([]byte, 10240)...)
	other, err := w.AddPacket(t.Context(), "bob", james.AddPacketRequest{Name: "a", Tags: james.MustTags("v1")}, bytes.NewReader(padded))
	if err != nil || other.Added || other.Packet.Archive != first.Packet.Archive || other.Packet.AddedBy != "alice" {
		t.Errorf("the same content in other bytes is %+v, %v", other, err)
	}
	_, err = w.upload("a v1", "y", false)
	wantError(t, err, james.KindExists, "a v1", "other content", "alice", "--replace")
	// The content of the one that was refused stays for a while.
	check(t, w.blobs.Delete(t.Context(), james.DigestOf([]byte("usr/bin/ay"))))
	if got := digests(t, w.blobs); !slices.Equal(got, before) {
		t.Error("uploads that change nothing leave blobs")
	}

	replaced := must(w.upload("a v1", "y", true))
	if !replaced.Added || replaced.Replaced != first.Packet.Digest || len(w.Packets()) != 1 {
		t.Errorf("replaced: %+v", replaced)
	}
	_, err = w.Packet(first.Packet.Digest)
	wantError(t, err, james.KindNotFound, "list-packets")
	want := []string{"packet-added - a v1 alice", "packet-replaced - a v1 alice"}
	if got := w.events(); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func TestAddPacketRefuses(t *testing.T) {
	t.Parallel()
	good := tarOf(t, "", "a", "b")
	tests := []struct {
		name  string
		req   james.AddPacketRequest
		body  io.Reader
		kind  james.Kind
		parts []string
	}{
		{"no name", james.AddPacketRequest{}, unreadable{}, james.KindInvalid, []string{"packet name"}},
		{"a bad name", james.AddPacketRequest{Name: "a/b"}, unreadable{}, james.KindInvalid, []string{"a/b"}},
		{"an unknown script", james.AddPacketRequest{Name: "a", Scripts: map[james.ScriptName][]byte{"inst": []byte("x")}}, unreadable{},
			james.KindInvalid, []string{"inst"}},
		{"an empty script", james.AddPacketRequest{Name: "a", Scripts: map[james.ScriptName][]byte{james.Prerm: nil}}, unreadable{},
			james.KindInvalid, []string{"prerm"}},
		{"a large script", james.AddPacketRequest{Name: "a", Scripts: map[james.ScriptName][]byte{james.Prerm: make([]byte, james.MaxScript+1)}}, unreadable{},
			james.KindInvalid, []string{"prerm"}},
		{"limits of a health check without one", james.AddPacketRequest{Name: "a", Health: &james.Health{Retries: 1}}, unreadable{},
			james.KindInvalid, []string{"health check", "no script"}},
		{"limits of a health check beyond theirs", james.AddPacketRequest{Name: "a", Health: &james.Health{Timeout: 3601},
			Scripts: map[james.ScriptName][]byte{james.HealthCheck: []byte("x")}}, unreadable{}, james.KindInvalid, []string{"timeout is 3601"}},
		{"an entry outside of the root", james.AddPacketRequest{Name: "a"}, bytes.NewReader(tarOf(t, "", "ok", "../evil")),
			james.KindInvalid, []string{"../evil"}},
		{"a truncated archive", james.AddPacketRequest{Name: "a"}, bytes.NewReader(good[:700]), james.KindInvalid, nil},
		{"something else after the archive", james.AddPacketRequest{Name: "a"}, io.MultiReader(bytes.NewReader(good), strings.NewReader("more")),
			james.KindInvalid, nil},
		{"no archive", james.AddPacketRequest{Name: "a"}, strings.NewReader("hello"), james.KindInvalid, nil},
		{"an upload that breaks off", james.AddPacketRequest{Name: "a"},
			io.MultiReader(bytes.NewReader(good[:600]), iotest.ErrReader(io.ErrUnexpectedEOF)), james.KindInterrupted, []string{"after 600 bytes"}},
		{"one that is refused by its reader", james.AddPacketRequest{Name: "a"},
			iotest.ErrReader(james.Errorf(james.KindDenied, "x", "no")), james.KindDenied, nil},
		{"an archive beyond the limit", james.AddPacketRequest{Name: "a"}, bytes.NewReader(tarOf(t, "", "a", "b", "c", "d")), james.KindInvalid, []string{"3"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(o *fleet.Options) { o.Limits.MaxEntries = 3 })
			_, err := w.AddPacket(t.Context(), "alice", test.req, test.body)
			wantError(t, err, test.kind, test.parts...)
			if len(w.Packets()) != 0 || len(w.events()) != 0 {
				t.Error("something is left of it")
			}
			for info, err := range w.blobs.List(t.Context()) { // contents of files stay for a while
				if err != nil || info.Stored > 10 {
					t.Errorf("a blob of %d bytes is left of it: %v", info.Stored, err)
				}
			}
		})
	}
}

// unreadable is an archive that must not be asked for.
type unreadable struct{}

func (unreadable) Read([]byte) (int, error) {
	return 0, errors.New("read before the request was checked")
}

func TestAddPacketWithoutTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.away.Store(true)
	_, err := w.upload("a v1", "", false)
	wantError(t, err, james.KindUnavailable)
	if got, want := digests(t, w.blobs), []string{james.DigestOf([]byte("usr/bin/a")).String()}; !slices.Equal(got, want) {
		t.Errorf("besides the content of its file there are left: %q", got)
	}
}

// full is a blob store without room.
type full struct{ blob.Store }

type fullWriter struct{ blob.Writer }

func (f full) Create(ctx context.Context, form blob.Form) (blob.Writer, error) {
	w, err := f.Store.Create(ctx, form)
	return fullWriter{w}, err
}

func (fullWriter) Write([]byte) (int, error) {
	return 0, james.Errorf(james.KindUnavailable, "blobs", "no space left on device")
}

func TestAddPacketWithoutRoom(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *fleet.Options) { o.Blobs = full{o.Blobs} })
	_, err := w.upload("a v1", "", false)
	wantError(t, err, james.KindUnavailable, "no space left")
}

func TestAddPacketMends(t *testing.T) {
	t.Parallel()
	same := tarOf(t, "", "usr/bin/a")
	for _, test := range []struct {
		lost string
		with []byte // the archive that is added again
	}{{"manifest", same}, {"archive", same}, {"archive", append(slices.Clone(same), make([]byte, 10240)...)}} {
		w := newWorld(t)
		p := w.add("a v1")
		var err error
		if test.lost == "archive" {
			check(t, w.blobs.Delete(t.Context(), p.Archive.Digest))
			_, _, err = w.OpenArchive(t.Context(), p.Digest)
		} else {
			check(t, w.blobs.Delete(t.Context(), p.Digest))
			_, err = w.OpenManifest(t.Context(), p.Digest)
		}
		wantError(t, err, james.KindCorrupt, test.lost, "Add the packet again")
		again, err := w.AddPacket(t.Context(), "bob", james.AddPacketRequest{Name: p.Name, Tags: p.Tags}, bytes.NewReader(test.with))
		if err != nil || again.Added || again.Packet.Digest != p.Digest || again.Packet.AddedBy != "alice" {
			t.Errorf("it is added again as %+v, %v", again, err)
		}
		_, r, err := w.OpenArchive(t.Context(), p.Digest)
		if err != nil {
			t.Fatal(err)
		}
		if got := must(io.ReadAll(r)); !bytes.Equal(got, test.with) {
			t.Errorf("after the lost %s was added again the archive has %d bytes, want %d", test.lost, len(got), len(test.with))
		}
		check(t, r.Close())
	}
}
