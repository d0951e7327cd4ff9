package client

import (
	"crypto/rand"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// Exchange is a request that was sent, or could not be, and what came of it.
type Exchange struct {
	// Request is its id, by which the server's log names it.
	Request      string
	Method, Path string
	Status       int // 0 where no answer came
	// Took is the time until the answer began; what follows of it is not in it.
	Took time.Duration
	Err  error
}

// ids makes the ids of requests: a few random letters for each client and a number, as
// each byte of them is sent with each poll.
type ids struct {
	prefix string
	count  atomic.Uint64
}

func newIDs() *ids { return &ids{prefix: strings.ToLower(rand.Text()[:6]) + "-"} }

func (i *ids) next() string { return i.prefix + strconv.FormatUint(i.count.Add(1), 36) }

// inRequest returns err, which the request of that id ended with.
func inRequest(err error, id string) error {
	var e *james.Error
	if !errors.As(err, &e) {
		return err
	}
	return e.InRequest(id)
}

// requestOf returns the id of an answer's request, as the server has it.
func requestOf(h http.Header) string { return h.Get(james.HeaderRequestID) }
