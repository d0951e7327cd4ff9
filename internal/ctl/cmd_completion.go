package ctl

import (
	"strings"

	"github.com/spf13/cobra"
)

var shells = []string{"bash", "zsh", "fish"}

func (p *program) completionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script of a shell",
		Long: `Print a script that lets a shell complete commands, flags, files, and the names of
packets, tags and devices, which it asks the server for. That for bash needs the
package bash-completion.`,
		Example: `  jamesd-ctl completion bash > ~/.local/share/bash-completion/completions/jamesd-ctl
  jamesd-ctl completion zsh > "${fpath[1]}/_jamesd-ctl"
  jamesd-ctl completion fish > ~/.config/fish/completions/jamesd-ctl.fish`,
		ValidArgs: shells,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return nil
			}
			return usagef(cmd, "the shell is missing: one of %s", strings.Join(shells, ", "))
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			switch args[0] {
			case "bash":
				return cmd.Root().GenBashCompletionV2(p.out, true)
			case "zsh":
				return cmd.Root().GenZshCompletion(p.out)
			case "fish":
				return cmd.Root().GenFishCompletion(p.out, true)
			}
			return usagef(cmd, "there is no completion for the shell %q, only for %s", args[0], strings.Join(shells, ", "))
		},
	}
}
