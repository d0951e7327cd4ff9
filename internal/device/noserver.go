package device

import (
	"context"
	"io"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// start puts a jamesc together. Where the certificates are of no use and a
// transaction was interrupted, that is ended first: it may be what has replaced
// them.
func start(ctx context.Context, s *settings, log logrus.FieldLogger, tags func() james.TagSet) (*parts, error) {
	p, err := build(s, log, tags)
	if err != nil || p.noServer == nil {
		return p, err
	}
	log.WithError(p.noServer).Warn("ending an interrupted transaction without a server")
	err = p.agent.Once(ctx)
	p.close()
	if ctx.Err() != nil {
		return nil, err
	}
	if p, err = build(s, log, tags); err == nil && p.noServer != nil {
		err = p.noServer
		p.close()
	}
	return p, err
}

// noServer is the server of a jamesc that cannot connect to any. Its error is one
// of KindUnavailable, so that what was to be reported is kept.
type noServer struct{ err error }

func (n noServer) Poll(context.Context, james.PollRequest) (james.PollResponse, error) {
	return james.PollResponse{}, n.err
}

func (n noServer) Progress(context.Context, james.Progress) error { return n.err }

func (n noServer) Report(context.Context, james.Report) error { return n.err }

func (n noServer) Manifest(context.Context, james.Digest) (*james.Manifest, error) {
	return nil, n.err
}

func (n noServer) Archive(context.Context, james.Digest, james.Archive, int64) (io.ReadCloser, error) {
	return nil, n.err
}

func (n noServer) ArchiveOf(context.Context, james.Digest) (james.Archive, error) {
	return james.Archive{}, n.err
}

func (n noServer) Blobs(context.Context, james.BlobsRequest, string, int64) (*client.BlobStream, error) {
	return nil, n.err
}

func (n noServer) OfferBlobs(context.Context, james.BlobsRequest) (james.BlobsOffer, error) {
	return james.BlobsOffer{}, n.err
}
