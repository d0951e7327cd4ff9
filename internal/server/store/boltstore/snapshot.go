package boltstore

import (
	"context"
	"io"

	"go.etcd.io/bbolt"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// Snapshot calls do with the store as it is at one moment: all packets, the size in
// bytes of the file that holds all of it, and what writes that file, which Open
// takes. Others go on reading and writing; the file on the disk may grow by what
// they write until do returns.
func (s *Store) Snapshot(ctx context.Context, do func(packets []*james.Packet, size int64, file io.WriterTo) error) error {
	return s.view(ctx, func(tx *bbolt.Tx) error {
		var packets []*james.Packet
		err := tx.Bucket(bucketOf(store.TablePackets)).ForEach(func(key, value []byte) error {
			seq, raw := parseRow(value)
			row := store.Row{Table: store.TablePackets, Key: string(key), Seq: seq, JSON: raw}
			c, err := row.Change()
			if c.Packet != nil {
				packets = append(packets, c.Packet)
			}
			return err
		})
		if err != nil {
			return err
		}
		return do(packets, tx.Size(), tx)
	})
}
