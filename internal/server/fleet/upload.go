package fleet

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// AddPacket takes in a packet whose archive is read from r, once and in order.
// What is wrong with the request is found before r is read; r is not read to its
// end when it turns out to be wrong. Nothing of a packet can be seen before all
// of it is stored, and an upload that fails leaves nothing that lasts.
//
// The contents of files are stored while r is read. Those of an upload that fails
// stay until they are collected, so that starting again costs less.
//
// A packet that is there already changes nothing, unless its archive or manifest
// turns out to be damaged or gone: those are then put back. AddPacket fails with
// james.KindInvalid for a request or an archive that cannot be a packet, naming
// the entry, with james.KindExists where the name and tags have other content
// and Replace is not set, and with james.KindInterrupted when r breaks off.
func (f *Fleet) AddPacket(ctx context.Context, by string, req james.AddPacketRequest, r io.Reader) (james.AddPacketResponse, error) {
	u := &upload{Fleet: f, by: by, replace: req.Replace, began: f.o.Now(), manifest: james.Manifest{Name: req.Name, Tags: req.Tags, Replaces: sortedUnique(req.Replaces), Health: req.Health}}
	if len(req.Scripts) > 0 {
		u.manifest.Scripts = req.Scripts
	}
	if err := u.manifest.Validate(); err != nil {
		return james.AddPacketResponse{}, err
	}
	w, err := f.o.Blobs.Create(ctx, blob.Plain)
	if err != nil {
		return james.AddPacketResponse{}, err
	}
	defer w.Abort()
	if err := u.read(ctx, r, w); err != nil {
		f.litter()
		return james.AddPacketResponse{}, err
	}
	err = u.doubt(ctx)
	var resp james.AddPacketResponse
	if err == nil {
		resp, err = u.keep(ctx, w)
	}
	if err != nil {
		f.litter()
	}
	return resp, err
}

// upload is one packet on its way in.
type upload struct {
	*Fleet
	by       string
	replace  bool
	began    time.Time
	manifest james.Manifest
	encoded  []byte // the manifest
	digest   james.Digest
	format   string
	contents []james.Digest
	kept     bool // all contents are there
	// The packet is there, but its archive or manifest is not, or it is to be
	// marked anew.
	lost, mend bool
	// The archive or manifest that was there was damaged, so its contents may be, too.
	damaged bool
}

// read copies the archive from r to w and makes the manifest of it.
func (u *upload) read(ctx context.Context, r io.Reader, w io.Writer) error {
	in := &intake{r: r, w: w}
	k := newKeeper(ctx, u.o.Blobs)
	entries, format, err := archive.ScanTo(ctx, in, u.o.Limits, k.take)
	if err == nil {
		_, err = io.Copy(io.Discard, in) // what is stored is what came, to its last byte
	}
	if failed := k.finish(err); err == nil {
		err = failed
	}
	if in.err != nil {
		return in.err // what Scan made of it is only a consequence
	}
	if err != nil {
		return err
	}
	u.format = format
	u.manifest.Entries = entries
	if entries == nil {
		u.manifest.Entries = []james.Entry{}
	}
	u.contents = contentsOf(entries)
	u.encoded, u.digest, err = u.manifest.Encode()
	return err
}

// doubt removes the archive and the manifest of a packet that is there already where
// they do not read as what they are, so that those of the upload take their places.
func (u *upload) doubt(ctx context.Context) (err error) {
	known := u.known()
	if known == nil || known.Digest != u.digest {
		return nil
	}
	u.damaged, err = u.dropUnsound(ctx, known.Digest, known.Archive.Digest)
	return err
}

// keep makes a packet of what was read. From the first commit on until the row is
// in the store, no blob is deleted by this process; see collect.
func (u *upload) keep(ctx context.Context, w blob.Writer) (james.AddPacketResponse, error) {
	u.uploads.RLock()
	defer u.uploads.RUnlock()
	if err := u.refresh(ctx); err != nil {
		return james.AddPacketResponse{}, err
	}
	known := u.known()
	if err := u.check(known); err != nil {
		return james.AddPacketResponse{}, err
	}
	missing, err := u.spare(ctx, u.contents, u.began)
	if err != nil {
		return james.AddPacketResponse{}, err
	}
	u.kept = len(missing) == 0 && !u.damaged
	if known != nil && known.Digest == u.digest {
		whole, err := u.whole(ctx, known)
		if err != nil || whole && known.Contents == u.kept {
			return james.AddPacketResponse{Packet: *known}, err
		}
		u.mend, u.lost = true, !whole
	}
	info, err := w.Commit(ctx, james.Digest{})
	if err != nil {
		return james.AddPacketResponse{}, err
	}
	if err := u.keepManifest(ctx); err != nil {
		return james.AddPacketResponse{}, err
	}
	return u.place(ctx, u.packet(info))
}

// known returns the packet that has the upload's name and tags now, or nil.
func (u *upload) known() *james.Packet {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.cat.packets[u.key()]
}

func (u *upload) key() string { return store.PacketKey(u.manifest.Name, u.manifest.Tags) }

func (u *upload) name() string {
	return james.App{Name: u.manifest.Name, Tags: u.manifest.Tags}.String()
}

// check returns an error of james.KindExists where old is in the way.
func (u *upload) check(old *james.Packet) error {
	if old == nil || old.Digest == u.digest || u.replace {
		return nil
	}
	return james.Errorf(james.KindExists, "packet "+u.name(), "exists with other content, added %s by %s",
		old.Added.UTC().Format("2006-01-02 15:04 MST"), orUnknown(old.AddedBy)).
		WithHint("Put this one in its place with --replace, or give it other tags.")
}

func orUnknown(s string) string {
	if s == "" {
		return "an unknown admin"
	}
	return s
}

func (u *upload) keepManifest(ctx context.Context) error {
	w, err := u.o.Blobs.Create(ctx, blob.Plain)
	if err != nil {
		return err
	}
	defer w.Abort()
	if _, err := w.Write(u.encoded); err != nil {
		return err
	}
	_, err = w.Commit(ctx, u.digest)
	return err
}

// packet returns the row of the upload, whose archive is the blob of info.
func (u *upload) packet(info blob.Info) *james.Packet {
	p := &james.Packet{
		Digest:   u.digest,
		Name:     u.manifest.Name,
		Tags:     u.manifest.Tags,
		Entries:  len(u.manifest.Entries),
		Size:     u.manifest.Size(),
		Replaces: u.manifest.Replaces,
		Health:   u.manifest.Health,
		Archive:  james.Archive{Digest: info.Digest, Size: info.Size, Format: u.format},
		Added:    u.now(),
		AddedBy:  u.by,
		Contents: u.kept,
	}
	for _, s := range james.ScriptNames() {
		if len(u.manifest.Scripts[s]) > 0 {
			p.Scripts = append(p.Scripts, s)
		}
	}
	return p
}

// place puts the row into the store, unless somebody else was faster with the
// same content.
func (u *upload) place(ctx context.Context, p *james.Packet) (james.AddPacketResponse, error) {
	var before *james.Packet
	saved, err := u.savePacket(ctx, u.key(), func(old *james.Packet) (*james.Packet, error) {
		before = old
		switch {
		case old == nil || old.Digest != p.Digest:
			return p, u.check(old)
		case !u.mend:
			return old, nil
		}
		mended := *old
		mended.Contents = p.Contents
		if u.lost {
			mended.Archive = p.Archive
		}
		return &mended, nil
	})
	if err != nil {
		return james.AddPacketResponse{}, err
	}
	resp := james.AddPacketResponse{Packet: *saved, Added: before == nil || before.Digest != saved.Digest}
	if resp.Added && before != nil {
		resp.Replaced = before.Digest
	}
	u.tell(ctx, &resp)
	if !saved.Contents {
		u.unpackSoon()
	}
	return resp, u.verify(ctx, saved)
}

// verify fails where the blobs of a packet that was just added are gone, which
// the collector of another process can do; see collect.
func (u *upload) verify(ctx context.Context, p *james.Packet) error {
	whole, err := u.whole(ctx, p)
	if err == nil && whole && p.Contents {
		var missing []james.Digest
		missing, err = u.o.Blobs.Missing(ctx, u.contents)
		whole = len(missing) == 0
	}
	if err == nil && !whole {
		err = james.Errorf(james.KindInterrupted, "packet "+u.name(), "some of it was deleted as unused by another jamesd while it came in").
			WithHint("Add the packet again, which puts it back.")
	}
	return err
}

func (u *upload) tell(ctx context.Context, resp *james.AddPacketResponse) {
	e := james.Event{Kind: james.EventPacketAdded, Actor: u.by, Packet: u.name()}
	switch {
	case !resp.Added:
		return
	case !resp.Replaced.IsZero():
		e.Kind = james.EventPacketReplaced
		e.Text = fmt.Sprintf("%s (%s) was replaced by %s", u.name(), resp.Replaced.Short(), resp.Packet.Digest.Short())
	default:
		e.Text = fmt.Sprintf("%s (%s) was added, %d entries", u.name(), resp.Packet.Digest.Short(), resp.Packet.Entries)
	}
	u.event(ctx, e)
}

// whole reports whether both blobs of a packet are there.
func (f *Fleet) whole(ctx context.Context, p *james.Packet) (bool, error) {
	for _, d := range []james.Digest{p.Digest, p.Archive.Digest} {
		_, err := f.o.Blobs.Stat(ctx, d)
		switch james.KindOf(err) {
		case "":
		case james.KindNotFound, james.KindCorrupt:
			return false, nil
		default:
			return false, err
		}
	}
	return true, nil
}
