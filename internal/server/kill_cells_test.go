package server_test

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// connect gives the cells a new jamesd. What they know of the former one stays.
func (k *killing) connect(w *killWorld) {
	var cells []*cell
	for i := range names {
		cells = append(cells, packetCell(w, fmt.Sprint("packet-", i), func(name string, n int) []byte { return versionOf(k.t, name, n, k.large) }))
	}
	for i := range victims {
		cells = append(cells, desiredCell(w, i), reportedCell(w, i), transactionCell(w, i))
	}
	for i, c := range k.cells {
		cells[i].known = c.known
	}
	k.cells = cells
}

// packetCell is the version of a packet, 0 for none. Version 1 stands for its deletion.
func packetCell(w *killWorld, name string, version func(name string, n int) []byte) *cell {
	find := func(ctx context.Context) (*james.Packet, error) {
		all, err := w.admin.Packets(ctx, name)
		if err != nil || len(all) == 0 {
			return nil, err
		}
		if len(all) > 1 {
			return nil, fmt.Errorf("there are %d of them", len(all))
		}
		return &all[0], nil
	}
	return &cell{
		name: name, packet: true, tells: true,
		change: func(ctx context.Context, n, _ int) (bool, error) {
			if n > 1 {
				resp, err := w.admin.AddPacket(ctx, james.AddPacketRequest{Name: name, Replace: true}, bytes.NewReader(version(name, n)))
				return resp.Added, err
			}
			for {
				// What is not known is looked for in the store, and so is all else that is new.
				if _, err := w.admin.Packet(ctx, james.DigestOf([]byte("none"))); james.KindOf(err) != james.KindNotFound {
					return false, err
				}
				p, err := find(ctx)
				if err != nil || p == nil {
					return false, err
				}
				// Another server may just have replaced the one that this one has listed.
				if err := w.admin.DeletePacket(ctx, p.Digest, true); james.KindOf(err) != james.KindNotFound {
					return true, err
				}
			}
		},
		read: func(ctx context.Context) (int, error) {
			p, err := find(ctx)
			if err != nil || p == nil {
				return 1, err
			}
			r, err := w.admin.Archive(ctx, p.Digest, p.Archive, 0)
			if err != nil {
				return 0, err
			}
			defer r.Close()
			raw, err := io.ReadAll(r)
			for n := 2; n <= versions && err == nil; n++ {
				if bytes.Equal(raw, version(name, n)) {
					return n, nil
				}
			}
			return 0, fmt.Errorf("%d bytes of something else: %w", len(raw), err)
		},
		known: known{sure: 1},
	}
}

// versionOf returns the archive of a packet: contents that others have too, of large
// bytes and less, and one of its own.
func versionOf(t *testing.T, name string, n, large int) []byte {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	add := func(file string, content []byte) {
		must(t, w.WriteHeader(&tar.Header{Name: file, Mode: 0o644, Size: int64(len(content)), ModTime: time.Unix(1, 0)}))
		_, err := w.Write(content)
		must(t, err)
	}
	add("own", []byte(name+" "+strconv.Itoa(n)))
	for i := range 4 {
		add(fmt.Sprint("small", i), noise(n+i, large/50))
	}
	if n%3 == 0 {
		add("large", noise(n, large))
	}
	must(t, w.Close())
	return buf.Bytes()
}

func noise(seed, size int) []byte {
	out := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(out)
	return out
}

// desiredCell is what a device is to have.
func desiredCell(w *killWorld, i int) *cell {
	id := fmt.Sprint("victim-", i)
	return &cell{
		name: "the desired state of " + id, tells: true,
		change: func(ctx context.Context, n, _ int) (bool, error) {
			resp, err := w.admin.SetDesired(ctx, james.SetDesiredRequest{Force: true, State: james.State{ID: id, Apps: []james.App{{Name: "app", Tags: tagged(n)}}}})
			return resp.Changed, err
		},
		read: func(ctx context.Context) (int, error) {
			d, err := w.admin.Desired(ctx, id)
			if james.KindOf(err) == james.KindNotFound {
				return 0, nil
			}
			if err != nil || len(d.Apps) != 1 {
				return 0, fmt.Errorf("%+v: %w", d, err)
			}
			return untagged(d.Apps[0].Tags)
		},
	}
}

// reportedCell is what a device says of itself.
func reportedCell(w *killWorld, i int) *cell {
	id := fmt.Sprint("victim-", i)
	return &cell{
		name: "the report of " + id,
		change: func(ctx context.Context, n, _ int) (bool, error) {
			_, err := w.devices[i].Poll(ctx, james.PollRequest{Report: &james.DeviceReport{SystemTags: tagged(n)}})
			return true, err
		},
		read: func(ctx context.Context) (int, error) {
			d, err := w.admin.Device(ctx, id)
			if james.KindOf(err) == james.KindNotFound || err == nil && d.SystemTags.IsZero() {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return untagged(d.SystemTags)
		},
	}
}

// transactionCell is how the last transaction of a device ended.
func transactionCell(w *killWorld, i int) *cell {
	id := fmt.Sprint("victim-", i)
	return &cell{
		name: "the transaction of " + id,
		change: func(ctx context.Context, n, turn int) (bool, error) {
			return true, w.devices[i].Report(ctx, james.Report{
				Plan: james.DigestOf([]byte{byte(n)}), Revision: uint64(n), Result: james.RolledBack, Error: fmt.Sprint("turn ", turn),
				Started: time.Unix(int64(turn), 0), Ended: time.Unix(int64(turn+1), 0),
			})
		},
		read: func(ctx context.Context) (int, error) {
			d, err := w.admin.Device(ctx, id)
			if james.KindOf(err) == james.KindNotFound || err == nil && d.Report == nil {
				return 0, nil
			}
			if err != nil {
				return 0, err
			}
			return int(d.Report.Revision), nil
		},
	}
}

func tagged(n int) james.TagSet { return james.MustTags(fmt.Sprint("n", n)) }

func untagged(tags james.TagSet) (int, error) {
	return strconv.Atoi(strings.TrimPrefix(tags.String(), "n"))
}
