package supply

import (
	"context"
	"io"
	"os"

	"github.com/trusch/jamesd/pkg/james"
)

// mapFrom is the size from which on a content is not held in memory but in a file
// that is mapped, whose pages the machine can take back.
const mapFrom = 4 << 20

// loaded is a content that can be read at any place.
type loaded struct {
	bytes []byte
	free  func()
}

// load returns the content of a file. It fails with james.KindCorrupt where that is
// another one.
func (s *Supply) load(ctx context.Context, file *james.Entry) (*loaded, error) {
	l, err := s.hold(ctx, file)
	if err == nil && james.DigestOf(l.bytes) != file.Digest {
		l.free()
		err = unlike(file)
	}
	return l, err
}

func (s *Supply) hold(ctx context.Context, file *james.Entry) (*loaded, error) {
	r, err := s.content(ctx, file, 0)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	if file.Size < mapFrom {
		raw := make([]byte, file.Size)
		_, err := io.ReadFull(r, raw)
		return &loaded{raw, func() {}}, err
	}
	scratch, err := os.CreateTemp(s.scratch, "jamesd-*")
	if err != nil {
		return nil, s.full(err)
	}
	defer scratch.Close()
	if err := os.Remove(scratch.Name()); err != nil {
		return nil, s.full(err)
	}
	if n, err := io.Copy(scratch, r); err != nil || n != file.Size {
		return nil, s.full(err)
	}
	return mapped(scratch, file.Size)
}

// full returns what the operating system refused of a file for a moment.
func (s *Supply) full(err error) error {
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	if james.KindOf(err) != james.KindInternal {
		return err
	}
	return james.Errorf(james.KindUnavailable, s.scratch, "%w", err)
}
