package memblob_test

import (
	"testing"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/blob/blobtest"
	"github.com/trusch/jamesd/internal/server/blob/memblob"
)

func TestStore(t *testing.T) {
	blobtest.Run(t, func(*testing.T) blob.Store { return memblob.New() })
}

func TestExpiring(t *testing.T) {
	t.Parallel()
	s := memblob.New()
	blobtest.Expiring(t, s, s)
}
