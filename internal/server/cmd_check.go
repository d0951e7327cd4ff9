package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/meter"
	"github.com/trusch/jamesd/internal/server/fleet"
	"github.com/trusch/jamesd/pkg/james"
)

const aboutCheck = `Read everything that jamesd keeps: every row of the database, and for every packet
its manifest, its archive and the contents of its files, each compared with its
digest. What is wrong is printed, one line each, with what to do about it; and how
much there is that nothing refers to, which jamesd deletes by itself.

With --repair what is damaged is mended where it can be: contents are taken from
their archives again, and what nothing refers to and is older than an hour is deleted.
An archive or a manifest comes back by adding the packet again.

jamesd may run: with a directory it is the running jamesd that looks, which is asked
through the socket control.sock in it; a database is opened beside the jamesd that use
it. An interrupt ends it at any time and harms nothing.

Exit codes: 0 all is well, or was repaired; 1 it could not be found out; 2 wrong
settings; 3 something is damaged and was not repaired.`

func newCheckCommand(p config.Process) *cobra.Command {
	var repair bool
	var format string
	cmd := newKeptCommand(p, func(ctx context.Context, o *options) error {
		if format != "text" && format != "json" {
			return config.UsageError(james.Errorf(james.KindInvalid, "--output", "%q is neither text nor json", format))
		}
		return check(ctx, p, o.db, repair, format == "json")
	})
	cmd.Use, cmd.Short, cmd.Long = "check", "Look whether all that jamesd keeps is sound, and repair it", aboutCheck
	cmd.Example = "  jamesd check\n  jamesd check --repair --db /var/lib/jamesd"
	cmd.Flags().BoolVar(&repair, "repair", false, "mend what can be mended")
	cmd.Flags().StringVarP(&format, "output", "o", "text", "text or json")
	return cmd
}

// problemsError says that something is not as it must be, and that this was found out.
type problemsError struct{ error }

func (p problemsError) Unwrap() error { return p.error }

func check(ctx context.Context, p config.Process, db string, repair, asJSON bool) error {
	sum, found, err := lookThrough(ctx, p, db, repair, asJSON)
	if err != nil {
		return james.Cannot("check", safeName(db), err)
	}
	if asJSON {
		err = printCheckup(p.Out, sum, found)
	} else {
		sayCheckup(p.Out, &sum)
	}
	if left := sum.Problems - sum.Repaired; err == nil && left > 0 {
		err = problemsError{james.Errorf(james.KindCorrupt, "", "%s", count(int64(left), "problem", "problems"))}
	}
	return err
}

// lookThrough has the store checked. It prints what is found at once, or returns it
// where it is to be JSON.
func lookThrough(ctx context.Context, p config.Process, db string, repair, asJSON bool) (sum fleet.Checkup, found []fleet.Problem, err error) {
	k, err := openKept(ctx, db)
	if err != nil {
		return sum, nil, err
	}
	defer k.close()
	if repair && !k.running && !isMongo(db) {
		if err := ownerOnly(db); err != nil {
			return sum, nil, err
		}
	}
	line := meter.New(p.Err)
	defer line.Clear()
	sum, err = k.Check(ctx, fleet.CheckOptions{Repair: repair, Progress: line.Bytes("checking"), Found: func(problem fleet.Problem) {
		if asJSON {
			found = append(found, problem)
			return
		}
		line.Clear()
		sayProblem(p.Out, &problem)
	}})
	return sum, found, err
}

func sayProblem(w io.Writer, problem *fleet.Problem) {
	text := problem.What
	if problem.Packet != "" {
		text = "packet " + problem.Packet + ": " + text
	}
	if problem.Repaired {
		fmt.Fprintf(w, "%s; repaired\n", text)
		return
	}
	fmt.Fprintf(w, "%s; %s\n", text, problem.Do)
}

func sayCheckup(w io.Writer, c *fleet.Checkup) {
	if c.Packed > 0 {
		fmt.Fprintf(w, "%s still without the contents of files, which jamesd takes from the archives\n", count(int64(c.Packed), "packet is", "packets are"))
	}
	switch {
	case c.Collected > 0:
		fmt.Fprintf(w, "%s deleted that nothing refers to, %s\n", count(c.Collected, "blob was", "blobs were"), amount(c.CollectedBytes))
	case c.Unused > 0:
		fmt.Fprintf(w, "%s referred to by nothing, %s; jamesd deletes that\n", count(c.Unused, "blob is", "blobs are"), amount(c.UnusedBytes))
	}
	looked := fmt.Sprintf("%s, %s, %s", count(int64(c.Packets), "packet", "packets"), count(c.Blobs, "blob", "blobs"), amount(c.Bytes))
	switch {
	case c.Problems == 0:
		fmt.Fprintf(w, "all is well: %s\n", looked)
	case c.Problems == c.Repaired:
		fmt.Fprintf(w, "all is well again: %s\n", looked)
	default:
		fmt.Fprintf(w, "looked at %s\n", looked)
	}
}

func printCheckup(w io.Writer, sum fleet.Checkup, found []fleet.Problem) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		fleet.Checkup
		Found []fleet.Problem `json:"found"`
	}{sum, append([]fleet.Problem{}, found...)})
}
