package device

import (
	"context"

	"github.com/sirupsen/logrus"

	"github.com/trusch/jamesd/pkg/client"
	"github.com/trusch/jamesd/pkg/james"
)

// reach returns what polls jamesd once over a connection of its own, with the
// certificates as they are on the disk now: as the next jamesc would. It fails
// unless a jamesd has answered that takes this device for a device; that it has a
// problem with its store, or is about to stop, is an answer too. After it the agent
// is to use no connection from before either.
func reach(s *settings, log logrus.FieldLogger, reconnect func()) func(ctx context.Context, req james.PollRequest) error {
	return func(ctx context.Context, req james.PollRequest) error {
		c, _, err := newClient(s, log)
		if err != nil {
			return err
		}
		defer c.Close()
		defer reconnect()
		_, err = c.Poll(ctx, req)
		switch kind := james.KindOf(err); {
		case kind == james.KindDenied, kind == james.KindUnauthenticated:
			return err
		case client.Answered(err):
			return nil
		}
		return err
	}
}
