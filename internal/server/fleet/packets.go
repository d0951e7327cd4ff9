package fleet

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trusch/jamesd/internal/resolve"
	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Packets returns all packets, sorted by name and tags.
func (f *Fleet) Packets() []james.Packet {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.cat.sorted()
}

// Packet returns the packet of that digest. It fails with james.KindNotFound.
func (f *Fleet) Packet(d james.Digest) (james.Packet, error) {
	p, err := f.packet(context.Background(), d)
	if err != nil {
		return james.Packet{}, err
	}
	return *p, nil
}

func (f *Fleet) packet(ctx context.Context, d james.Digest) (*james.Packet, error) {
	p, err := lookup(ctx, f, func(c *catalogue) *james.Packet { return c.digests[d] })
	if err == nil && p == nil {
		err = james.Errorf(james.KindNotFound, "packet "+d.Short(), "does not exist").
			WithHint("It may have been deleted or replaced; list-packets shows those that there are.")
	}
	return p, err
}

// OpenManifest returns the encoded manifest of a packet. It fails with
// james.KindNotFound where there is no such packet.
func (f *Fleet) OpenManifest(ctx context.Context, d james.Digest) (blob.Reader, error) {
	p, err := f.packet(ctx, d)
	if err != nil {
		return nil, err
	}
	return f.openBlob(ctx, p, "manifest", p.Digest)
}

// OpenArchive returns the archive of a packet as it was uploaded. It fails with
// james.KindNotFound where there is no such packet.
func (f *Fleet) OpenArchive(ctx context.Context, d james.Digest) (james.Archive, blob.Reader, error) {
	p, err := f.packet(ctx, d)
	if err != nil {
		return james.Archive{}, nil, err
	}
	r, err := f.openBlob(ctx, p, "archive", p.Archive.Digest)
	return p.Archive, r, err
}

// manifest reads the manifest of a packet.
func (f *Fleet) manifest(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
	r, err := f.openBlob(ctx, p, "manifest", p.Digest)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return james.DecodeManifest(r, p.Digest)
}

// openBlob opens what belongs to a packet that exists, so that it is damage
// where it does not.
func (f *Fleet) openBlob(ctx context.Context, p *james.Packet, what string, d james.Digest) (blob.Reader, error) {
	r, err := f.o.Blobs.Open(ctx, d)
	if james.KindOf(err) == james.KindNotFound {
		return nil, james.Errorf(james.KindCorrupt, "packet "+p.App().String(), "its %s %s is missing in the blob store", what, d.Short()).
			WithHint("Add the packet again from the same archive, which puts it back.")
	}
	return r, err
}

// MayFetch fails with james.KindDenied unless the packet of that digest is one
// that the device's plan installs, or one that it reported as installed.
func (f *Fleet) MayFetch(id string, d james.Digest) error {
	// Another jamesd may have handed out a plan that is not known here yet, so
	// nothing is denied before the store was asked.
	found, err := lookup(context.Background(), f, func(c *catalogue) *device {
		known := c.devices[id]
		if known == nil || !c.concerns(known, d) {
			return nil
		}
		return known
	})
	if err == nil && found == nil {
		err = james.Errorf(james.KindDenied, "packet "+d.Short(), "is neither installed on %s nor about to be", id)
	}
	return err
}

// concerns reports whether the device has the packet or is to install it.
func (c *catalogue) concerns(d *device, packet james.Digest) bool {
	if d.reported == nil {
		return false
	}
	return slices.ContainsFunc(d.reported.Apps, func(a james.App) bool { return a.Digest == packet }) ||
		slices.ContainsFunc(c.planOf(d).Steps, func(s james.Step) bool { return s.New != nil && s.New.Digest == packet })
}

// DeletePacket removes the packet of that digest. Devices that have it installed
// keep it, and can remove it later without the server. It fails with
// james.KindNotFound, and unless force is set with james.KindConflict where the
// desired state of a device resolves to it.
func (f *Fleet) DeletePacket(ctx context.Context, by string, d james.Digest, force bool) error {
	if err := f.refresh(ctx); err != nil {
		return err
	}
	p, err := f.packet(ctx, d)
	if err != nil {
		return err
	}
	name := p.App().String()
	if users := f.users(p); len(users) > 0 && !force {
		return james.Errorf(james.KindConflict, "packet "+name, "is what the desired state of %s resolves to", some(users)).
			WithHint("Change the desired state first, or delete it all the same with --force: devices that have it keep it.")
	}
	_, err = f.savePacket(ctx, store.PacketKey(p.Name, p.Tags), func(old *james.Packet) (*james.Packet, error) {
		if old == nil || old.Digest != d {
			return nil, james.Errorf(james.KindNotFound, "packet "+name, "was deleted or replaced meanwhile")
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	f.event(ctx, james.Event{Kind: james.EventPacketDeleted, Actor: by, Packet: name, Text: fmt.Sprintf("%s (%s) was deleted", name, d.Short())})
	return nil
}

// users returns the devices whose desired state resolves to the packet, sorted.
func (f *Fleet) users(p *james.Packet) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []string
	for d := range f.cat.wanting[p.Name] {
		for _, app := range d.wanted() {
			if app.Name != p.Name {
				continue
			}
			if found, _ := resolve.Find(&f.cat.names, app, d.systemTags()); found != nil && found.Digest == p.Digest {
				out = append(out, d.id)
			}
		}
	}
	slices.Sort(out)
	return out
}

// some names the first of many.
func some(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more devices", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
