package archive

import (
	"context"
	"io"

	"github.com/trusch/jamesd/pkg/james"
)

// meter counts and bounds what is read through it. Its first failure stays: the
// codecs above it may hide or rename an error, but cannot lose it.
type meter struct {
	ctx context.Context
	r   io.Reader
	n   int64 // bytes read
	max int64 // bytes allowed
	// over is the failure when there is more than max, fail makes one of an
	// error of r.
	over  func() error
	fail  func(error) error
	fault error
}

func (m *meter) Read(p []byte) (int, error) {
	if m.fault != nil {
		return 0, m.fault
	}
	if err := m.ctx.Err(); err != nil {
		m.fault = stopped(m.ctx)
		return 0, m.fault
	}
	// One byte more than is allowed tells "at the limit" from "beyond" it.
	if left := m.max - m.n; int64(len(p))-1 > left {
		p = p[:left+1]
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	if m.n > m.max {
		m.fault = m.over()
		return 0, m.fault
	}
	if err != nil && err != io.EOF {
		m.fault = m.fail(err)
		return n, m.fault
	}
	return n, err
}

func stopped(ctx context.Context) error {
	return james.Errorf(james.KindInterrupted, "archive", "reading was stopped: %w", context.Cause(ctx))
}
