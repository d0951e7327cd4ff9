package ctl

import (
	"context"

	"github.com/trusch/jamesd/pkg/client"
)

// retries is how often the client tries again what can be tried again.
const retries = 3

// ask calls the server. An error says that op on subject failed, whatever the
// call was that did.
func ask[T any](p *program, op, subject string, call func(*client.Client) (T, error)) (T, error) {
	var answer T
	c, err := p.connect(retries)
	if err != nil {
		return answer, cannot(op, subject, err)
	}
	defer c.Close()
	answer, err = call(c)
	return answer, cannot(op, subject, err)
}

// tell is ask for a call without an answer.
func tell(ctx context.Context, p *program, op, subject string, call func(context.Context, *client.Client) error) error {
	_, err := ask(p, op, subject, func(c *client.Client) (struct{}, error) { return struct{}{}, call(ctx, c) })
	return err
}
