package device

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device/inventory"
)

func newTagsCommand(p config.Process) *cobra.Command {
	root := "/"
	cmd := &cobra.Command{
		Use:   "tags",
		Short: "Print the system tags that are detected here, one a line",
		Long: `Print the system tags that are detected here, one a line: the machine as
"uname -m" names it, the C library, the init and the operating system. What
cannot be told is left out.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			for tag := range (inventory.Host{Root: root}).Tags().All() {
				if _, err := fmt.Fprintln(p.Out, tag); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&root, "root", root, "directory that holds the file system to look at")
	return cmd
}
