package ctl

import (
	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/version"
)

func (p *program) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the commit and the Go version of this program",
		Args:  noArguments,
		Run:   func(*cobra.Command, []string) { version.Print(p.out, "jamesd-ctl") },
	}
}
