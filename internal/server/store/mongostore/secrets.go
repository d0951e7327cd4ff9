package mongostore

import (
	"context"

	"go.mongodb.org/mongo-driver/v2/mongo"

	"github.com/trusch/jamesd/internal/server/store"
)

// secretRows are rows in a log of their own, so that who follows the others does not learn
// them.
type secretRows struct {
	log   *replica
	state *secretState
}

func newSecrets(db *mongo.Database) secretRows {
	state := &secretState{newRowState()}
	return secretRows{newReplica(newLog(db, "secrets"), state), state}
}

// secretState is the state of the log of secrets, which keeps little of what was.
type secretState struct{ *rowState }

func (s *secretState) target(floor, head uint64) uint64 {
	const slack = 8
	if head-floor <= 4*uint64(s.there)+slack {
		return floor
	}
	return floor + (head-floor)/2
}

// GetRow implements store.Rows.
func (s secretRows) GetRow(ctx context.Context, _ store.TableName, key string) ([]byte, error) {
	return s.log.getRow(ctx, s.state.rowState, rowID{key: key})
}

// UpdateRow implements store.Rows.
func (s secretRows) UpdateRow(ctx context.Context, _ store.TableName, key string, update func([]byte) ([]byte, error)) (uint64, error) {
	return s.log.updateRow(ctx, s.state.rowState, rowID{key: key}, update)
}
