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
