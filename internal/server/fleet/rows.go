package fleet

import (
	"context"

	"github.com/trusch/jamesd/internal/server/store"
	"github.com/trusch/jamesd/pkg/james"
)

// remove deletes a row and makes that known. It reports whether there was one.
func remove[T any](ctx context.Context, f *Fleet, table store.Table[T], name store.TableName, key string) (was bool, err error) {
	_, seq, err := table.Update(ctx, key, func(old *T) (*T, error) {
		was = old != nil
		return nil, nil
	})
	if err == nil && was {
		f.learn(store.Change{Table: name, Key: key, Seq: seq})
	}
	return was, err
}

// savePacket, saveDevice and saveDesired change a row and make it known.

func (f *Fleet) savePacket(ctx context.Context, key string, change func(*james.Packet) (*james.Packet, error)) (*james.Packet, error) {
	saved, seq, err := f.o.Store.Packets().Update(ctx, key, change)
	if err == nil {
		f.learn(store.Change{Table: store.TablePackets, Key: key, Seq: seq, Packet: saved})
	}
	return saved, err
}

func (f *Fleet) saveDevice(ctx context.Context, id string, change func(*james.Device) (*james.Device, error)) (*james.Device, error) {
	saved, seq, err := f.o.Store.Devices().Update(ctx, id, change)
	if err == nil {
		f.learn(store.Change{Table: store.TableDevices, Key: id, Seq: seq, Device: saved})
	}
	return saved, err
}

func (f *Fleet) saveDesired(ctx context.Context, id string, change func(*james.Desired) (*james.Desired, error)) (*james.Desired, error) {
	saved, seq, err := f.o.Store.Desired().Update(ctx, id, change)
	if err == nil {
		f.learn(store.Change{Table: store.TableDesired, Key: id, Seq: seq, Desired: saved})
	}
	return saved, err
}
