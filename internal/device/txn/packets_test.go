package txn_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"os"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/internal/device/txn"
	"github.com/trusch/jamesd/pkg/james"
)

// packets is a txn.Source of what pack has made: contents are taken out of plain
// archives. It does what the contract asks of a source, and no more.
type packets struct {
	manifests map[james.Digest]*james.Manifest
	archives  map[james.Digest][]byte
	// health are the limits of the health checks of what is packed next.
	health  *james.Health
	missing int64        // bytes besides the contents
	asked   int          // how often for an archive
	orders  []*txn.Order // that were fetched
	// spoil, where set, changes an archive on its way.
	spoil func(io.Reader) io.Reader

	dir *disk.Disk
	// sound are the contents that need not be read again.
	sound map[james.Digest]bool
}

func newPackets() *packets {
	return &packets{manifests: map[james.Digest]*james.Manifest{}, archives: map[james.Digest][]byte{}}
}

// open is the start of a process that has the contents in a directory.
func (p *packets) open(dir *disk.Disk) { p.dir, p.sound = dir, map[james.Digest]bool{} }

func (p *packets) Manifest(_ context.Context, pk *james.Packet) (*james.Manifest, error) {
	if m, ok := p.manifests[pk.Digest]; ok {
		return m, nil
	}
	return nil, james.Errorf(james.KindNotFound, pk.Name, "no such packet")
}

func (p *packets) Dir() *disk.Disk { return p.dir }

func (p *packets) Missing(o *txn.Order) int64 {
	var n int64
	for _, w := range o.Wants {
		for _, k := range w.Entries {
			e := &w.Manifest.Entries[k]
			info, err := p.dir.Lstat(e.Digest.String())
			switch {
			case err == nil && info.Size == e.Size:
			case e.Sparse:
				n += min(e.Size, e.Data)
			default:
				n += e.Size
			}
		}
	}
	return max(n, n+p.missing, p.missing)
}

func (p *packets) Fetch(ctx context.Context, o *txn.Order) error {
	p.orders = append(p.orders, o)
	for _, w := range o.Wants {
		lacks := map[james.Path]bool{}
		for _, k := range w.Entries {
			e := &w.Manifest.Entries[k]
			has, err := p.has(e)
			if err != nil {
				return err
			}
			if !has {
				lacks[e.Path] = true
			}
		}
		if len(lacks) == 0 {
			continue
		}
		if err := p.unpack(ctx, w, lacks, o.Use); err != nil {
			return &txn.PacketError{Packet: w.Packet, Err: err}
		}
	}
	return nil
}

// has reports whether a sound content is there. Another is removed.
func (p *packets) has(e *james.Entry) (bool, error) {
	name := e.Digest.String()
	info, err := p.dir.Lstat(name)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil || p.sound[e.Digest] && info.Size == e.Size {
		return err == nil, err
	}
	if info.Type != james.TypeFile {
		return false, p.dir.RemoveAll(name)
	}
	file, err := p.dir.OpenFile(name)
	if err != nil {
		return false, err
	}
	defer file.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, file)
	if err == nil && n == e.Size && james.Digest(sum.Sum(nil)) == e.Digest {
		p.sound[e.Digest] = true
		return true, nil
	}
	return false, errors.Join(err, p.dir.Remove(name))
}

// unpack stores what lacks of a packet.
func (p *packets) unpack(ctx context.Context, w txn.Want, lacks map[james.Path]bool, use func(int64)) error {
	p.asked++
	var in io.Reader = bytes.NewReader(p.archives[w.Packet.Digest])
	if p.spoil != nil {
		in = p.spoil(in)
	}
	own := disk.Meta{Mode: 0o600, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}
	return archive.Extract(ctx, in, w.Manifest, func(e *james.Entry, content io.Reader) error {
		if !lacks[e.Path] {
			return nil
		}
		if err := p.dir.WriteNew(e.Digest.String(), &using{content, use}, disk.New{Meta: own, Size: e.Size, Sparse: e.Sparse}); err != nil {
			return errors.Join(err, p.dir.RemoveAll(e.Digest.String()))
		}
		p.sound[e.Digest] = true
		return nil
	})
}

// using tells how much of it is read.
type using struct {
	io.Reader
	use func(int64)
}

func (u *using) Read(p []byte) (int, error) {
	n, err := u.Reader.Read(p)
	u.use(int64(n))
	return n, err
}

func (p *packets) Content(d james.Digest) (string, error) {
	delete(p.sound, d) // whoever has it may change it
	if ok, err := p.dir.Exists(d.String()); !ok || err != nil {
		return "", errors.Join(james.Errorf(james.KindNotFound, d.Short(), "was not fetched"), err)
	}
	return d.String(), nil
}

func (p *packets) Forget(contents []james.Digest) {
	for _, d := range contents {
		_ = p.dir.RemoveAll(d.String())
	}
}

// ordered lists the paths that were ordered, in the order of the orders.
func (p *packets) ordered() (all []string) {
	for _, o := range p.orders {
		for _, w := range o.Wants {
			for _, k := range w.Entries {
				all = append(all, w.Packet.Name+":"+string(w.Manifest.Entries[k].Path))
			}
		}
	}
	return all
}

// stored lists the contents that are there.
func (p *packets) stored() []string {
	return must(p.dir.ReadDir("."))
}
