package api

import (
	"io"
	"net/http"
	"time"

	"github.com/trusch/jamesd/internal/server/blob"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// mayFetch fails with KindDenied where the packet of the path is not the
// caller's business.
func (c *call) mayFetch(f *fleet.Fleet) error {
	if c.caller.role == Admin {
		return nil
	}
	return f.MayFetch(c.caller.name, c.digest)
}

func getManifest(c *call, f *fleet.Fleet) error {
	if err := c.mayFetch(f); err != nil {
		return err
	}
	content, err := f.OpenManifest(c.r.Context(), c.digest)
	if err != nil {
		return err
	}
	defer content.Close()
	return c.content("application/json", c.digest, content)
}

func getArchive(c *call, f *fleet.Fleet) error {
	if err := c.mayFetch(f); err != nil {
		return err
	}
	archive, content, err := f.OpenArchive(c.r.Context(), c.digest)
	if err != nil {
		return err
	}
	defer content.Close()
	c.way = ByArchive
	return c.content("application/octet-stream", archive.Digest, content)
}

// content answers with the bytes that digest names, or with the ranges of them
// that were asked for.
func (c *call) content(mediaType string, digest james.Digest, content blob.Reader) error {
	c.Header().Set("Content-Type", mediaType)
	c.Header().Set("Etag", `"`+digest.String()+`"`)
	src := &witness{Reader: content}
	http.ServeContent(c, c.r, "", time.Time{}, src)
	return src.err
}

// witness remembers why a blob could not be read, which http.ServeContent does
// not tell; the client sees that less arrived than was announced.
type witness struct {
	blob.Reader
	err error
}

func (w *witness) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
