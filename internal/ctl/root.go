package ctl

import (
	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/version"
)

const rootHelp = `jamesd-ctl talks to jamesd: it uploads packets, sets what devices should have
installed, and shows what they have.

` + settingsHelp + `

` + exitCodes

const rootExample = `  jamesd-ctl add-packet --name openvpn --data openvpn.tar.xz --tags v1.0.0,armv7l
  jamesd-ctl get-state device-1 > state.yaml
  jamesd-ctl set-desired-state --file state.yaml
  jamesd-ctl list-devices
  jamesd-ctl --cmd get-state --id device-1    (another spelling of get-state)`

// Groups of commands in the help.
const (
	groupPackets = "packets"
	groupDevices = "devices"
	groupTools   = "tools"
)

func (p *program) root() *cobra.Command {
	root := &cobra.Command{
		Use:               "jamesd-ctl",
		Short:             "Manage a fleet of devices with jamesd",
		Long:              rootHelp,
		Example:           rootExample,
		Version:           version.String(),
		Args:              cobra.ArbitraryArgs,
		RunE:              unknownCommand,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	root.SetVersionTemplate("jamesd-ctl {{.Version}}\n")
	root.SetIn(p.In)
	root.SetOut(p.out)
	root.SetErr(p.Err)
	root.SetFlagErrorFunc(flagError)
	for _, name := range []string{"addr", "ca", "cert", "key", "config"} {
		root.PersistentFlags().AddFlag(p.fs.Lookup(name))
	}
	root.PersistentFlags().SortFlags = false
	root.AddGroup(
		&cobra.Group{ID: groupPackets, Title: "Packets:"},
		&cobra.Group{ID: groupDevices, Title: "Devices:"},
		&cobra.Group{ID: groupTools, Title: "Other:"})
	root.SetHelpCommandGroupID(groupTools)
	add := func(group string, commands ...*cobra.Command) {
		for _, c := range commands {
			c.GroupID = group
			root.AddCommand(c)
		}
	}
	add(groupPackets, p.buildPacketCommand(), p.addPacketCommand(), p.listPacketsCommand(), p.getPacketCommand(), p.diffCommand(), p.deletePacketCommand())
	add(groupDevices, p.listDevicesCommand(), p.getDeviceCommand(), p.getStateCommand(), p.getDesiredStateCommand(),
		p.setDesiredStateCommand(), p.deleteDesiredStateCommand(), p.explainCommand(), p.deleteDeviceCommand(), p.listEventsCommand(), p.topCommand())
	add(groupTools, p.pkiCommand(), p.completionCommand(), p.versionCommand())
	return root
}

// printsFormats gives cmd the flag -o.
func (p *program) printsFormats(cmd *cobra.Command) {
	cmd.Flags().AddFlag(p.fs.Lookup("output"))
	formats := cobra.FixedCompletions([]string{"table", "yaml", "json"}, cobra.ShellCompDirectiveNoFileComp)
	_ = cmd.RegisterFlagCompletionFunc("output", formats) // one flag of all commands: it is set already by another
}

// complete sets the completion of a flag, which cmd has.
func (p *program) complete(cmd *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag is not there
	}
}

// named makes cmd take a name, as its argument or as a flag, into value.
func (p *program) named(cmd *cobra.Command, value *string, flag, usage string, required bool, f cobra.CompletionFunc) {
	cmd.Flags().StringVar(value, flag, "", usage)
	p.complete(cmd, flag, f)
	cmd.ValidArgsFunction = func(c *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 || *value != "" {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return f(c, args, prefix)
	}
	cmd.Args = func(c *cobra.Command, args []string) error {
		switch {
		case len(args) > 1:
			return usagef(c, "%s takes one argument, not %d: %q", c.CommandPath(), len(args), args)
		case len(args) == 1 && c.Flags().Changed(flag) && args[0] != *value:
			return usagef(c, "two names are given: %q and --%s %q", args[0], flag, *value)
		case len(args) == 1:
			*value = args[0]
		}
		if *value == "" && required {
			return usagef(c, "the %s is missing", flag).WithHint("Give it as in: %s %s", c.CommandPath(), argument(c))
		}
		return nil
	}
}

// argument is what stands behind the name in cmd's usage.
func argument(cmd *cobra.Command) string { return cmd.Use[len(cmd.Name())+1:] }

// noArguments is the Args of a command with flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef(cmd, "%s takes no argument: %q", cmd.CommandPath(), args)
	}
	return nil
}
