// Package control is how a command on the same machine reaches the jamesd that has
// the directory of an embedded store: plain HTTP on the Unix socket control.sock in
// that directory, mode 0600. Who may write the directory may ask; nobody else can.
//
// What always holds: the socket that has the name is that of the jamesd which has
// the directory's lock, as only that makes one, and what a killed one has left is
// replaced. An answer says at its end that it is whole, or what has failed.
package control

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/trusch/jamesd/internal/server/backup"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

// Name is that of the socket.
const Name = "control.sock"

// maxPath is how long the path of a Unix socket may be.
const maxPath = 107

// place is a directory by a path that is short enough for a socket in it.
type place struct {
	dir  string
	open *os.File // of a directory whose own path is too long; else nil
}

// newPlace returns where a socket of that name, and a longer one by extra, can be.
// It must be closed when the socket's path is not used any more.
func newPlace(dir string, extra int) (place, error) {
	if len(filepath.Join(dir, Name))+extra <= maxPath {
		return place{dir: dir}, nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return place{}, err
	}
	return place{fmt.Sprintf("/proc/self/fd/%d", f.Fd()), f}, nil
}

func (p place) path(suffix string) string { return filepath.Join(p.dir, Name+suffix) }

func (p place) close() {
	if p.open != nil {
		p.open.Close()
	}
}

// line is one line of an answer: one of the fields is set.
type line struct {
	Progress *progress             `json:"progress,omitempty"`
	Problem  *fleet.Problem        `json:"problem,omitempty"`
	Checkup  *fleet.Checkup        `json:"checkup,omitempty"`
	Backup   *backup.Summary       `json:"backup,omitempty"`
	Failure  *james.ProblemDetails `json:"failure,omitempty"`
}

type progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// trailer is the field after a backup that has a line which says how it ended.
const trailer = "Jamesd-End"

// failure returns err as it travels.
func failure(err error) *james.ProblemDetails {
	e := &james.Error{Kind: james.KindOf(err), Err: err}
	errors.As(err, &e)
	p := &james.ProblemDetails{Detail: string(e.Kind), Kind: e.Kind, Op: e.Op, Subject: e.Subject, Hint: james.HintOf(err)}
	if e.Err != nil {
		p.Detail = e.Err.Error()
	}
	return p
}

// failed returns what failure was given.
func failed(p *james.ProblemDetails) error {
	return &james.Error{Op: p.Op, Kind: p.Kind, Subject: p.Subject, Err: errors.New(p.Detail), Hint: p.Hint}
}
