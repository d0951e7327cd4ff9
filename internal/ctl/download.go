package ctl

import (
	"context"
	"crypto/sha256"
	"io"
	"time"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// download writes a packet's archive to w, and goes on where it was after a
// lost connection. It fails with KindCorrupt when the bytes are not the archive's.
func (p *program) download(ctx context.Context, c *client.Client, k james.Packet, w io.Writer) error {
	m := p.meter(k.Name, k.Archive.Size)
	defer m.close()
	sum := sha256.New()
	all := io.MultiWriter(w, sum, m)
	var offset int64
	for failures := 0; ; {
		n, err := p.downloadFrom(ctx, c, k, offset, all)
		offset += n
		if err == nil {
			break
		}
		if n > 0 {
			failures = 0
		}
		failures++
		if failures > retries || !james.KindOf(err).Retryable() || !pause(ctx, p.pauseUnit, failures) {
			return err
		}
	}
	if got := james.Digest(sum.Sum(nil)); got != k.Archive.Digest {
		return james.Errorf(james.KindCorrupt, "archive", "what came has the digest %s, not %s", got.Short(), k.Archive.Digest.Short())
	}
	return nil
}

func (p *program) downloadFrom(ctx context.Context, c *client.Client, k james.Packet, offset int64, w io.Writer) (int64, error) {
	body, err := c.Archive(ctx, k.Digest, k.Archive, offset)
	if err != nil {
		return 0, err
	}
	defer body.Close()
	return io.Copy(w, body)
}

// pause waits; it returns false when ctx ended before.
func pause(ctx context.Context, unit time.Duration, n int) bool {
	timer := time.NewTimer(time.Duration(n) * unit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
