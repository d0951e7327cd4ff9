package ctl

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/pki"
	"github.com/trusch/jamesd/pkg/james"
)

func (p *program) pkiCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "pki",
		Short: "Make the certificates of servers, devices, admins and site caches",
		Long: `Keep a certificate authority in a directory: ca.crt and ca.key, and for every NAME
NAME.crt and NAME.key. Keep the directory safe: who has ca.key can make an admin.
jamesd, jamesc and jamesd-ctl each need ca.crt and a certificate with its key.
An authority that was made with openssl works as well.

Files are never overwritten.`,
		Args: cobra.ArbitraryArgs,
		RunE: unknownCommand,
	}
	cmd.PersistentFlags().StringVar(&dir, "dir", "pki", "the `DIR` of the authority")
	cmd.AddCommand(p.pkiInitCommand(&dir), p.pkiAddServerCommand(&dir), p.pkiAddClientCommand(&dir), p.pkiAddAdminCommand(&dir), p.pkiAddCacheCommand(&dir))
	return cmd
}

func (p *program) pkiInitCommand(dir *string) *cobra.Command {
	var days int
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a certificate authority",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			lifetime, err := lifetimeOf(days)
			if err == nil {
				err = pki.Init(*dir, lifetime...)
			}
			return p.made(*dir, "ca", james.Cannot("make an authority in", *dir, err))
		},
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	daysFlag(cmd, &days, pki.CALifetime)
	return cmd
}

func (p *program) pkiAddServerCommand(dir *string) *cobra.Command {
	var sans []string
	cmd := p.pkiAddCommand(dir, "server", pki.ServerLifetime, func(name string, o ...pki.Option) error {
		return pki.AddServer(*dir, name, sans, o...)
	})
	cmd.Long = `Make the certificate of a jamesd. NAME is the host name or IP address by which
devices call it, as in their --addr; more of them are given with --san. It is also
good for localhost, 127.0.0.1 and ::1.`
	cmd.Flags().StringSliceVar(&sans, "san", nil, "other `NAMES` or addresses of the server, separated by commas")
	p.complete(cmd, "san", cobra.NoFileCompletions)
	return cmd
}

func (p *program) pkiAddClientCommand(dir *string) *cobra.Command {
	cmd := p.pkiAddCommand(dir, "client", pki.DeviceLifetime, func(name string, o ...pki.Option) error {
		return pki.AddClient(*dir, name, o...)
	})
	cmd.Long = "Make the certificate of a device, whose id is NAME."
	return cmd
}

func (p *program) pkiAddAdminCommand(dir *string) *cobra.Command {
	cmd := p.pkiAddCommand(dir, "admin", pki.AdminLifetime, func(name string, o ...pki.Option) error {
		return pki.AddAdmin(*dir, name, o...)
	})
	cmd.Long = "Make the certificate of an admin, for jamesd-ctl. What the admin does is recorded under NAME."
	return cmd
}

func (p *program) pkiAddCacheCommand(dir *string) *cobra.Command {
	var sans []string
	cmd := p.pkiAddCommand(dir, "cache", pki.ServerLifetime, func(name string, o ...pki.Option) error {
		return pki.AddCache(*dir, name, sans, o...)
	})
	cmd.Long = `Make the certificate of a site cache, which is a jamesd with --cache-of. NAME is the
host name or IP address by which the site's devices call it, as in their --cache;
more of them are given with --san. With it the cache may ask its jamesd for what the
devices may get, and for nothing else.`
	cmd.Flags().StringSliceVar(&sans, "san", nil, "other `NAMES` or addresses of the cache, separated by commas")
	p.complete(cmd, "san", cobra.NoFileCompletions)
	return cmd
}

func (p *program) pkiAddCommand(dir *string, who string, standard time.Duration, add func(string, ...pki.Option) error) *cobra.Command {
	var name string
	var days int
	cmd := &cobra.Command{
		Use:   "add-" + who + " NAME",
		Short: "Make the certificate of " + map[string]string{"server": "a server", "client": "a device", "admin": "an admin", "cache": "a site cache"}[who],
		RunE: func(*cobra.Command, []string) error {
			lifetime, err := lifetimeOf(days)
			if err == nil {
				err = add(name, lifetime...)
			}
			return p.made(*dir, name, james.Cannot("add "+who, name, err))
		},
	}
	p.named(cmd, &name, "name", "its `NAME`", true, cobra.NoFileCompletions)
	daysFlag(cmd, &days, standard)
	return cmd
}

const day = 24 * time.Hour

func daysFlag(cmd *cobra.Command, days *int, standard time.Duration) {
	cmd.Flags().IntVar(days, "days", int(standard/day), "how many `DAYS` it is valid, at most as long as the authority")
}

func lifetimeOf(days int) ([]pki.Option, error) {
	const most = 100 * 365
	if days < 1 || days > most {
		return nil, james.Errorf(james.KindInvalid, "", "it cannot be valid for %d days, 1 to %d are possible", days, most)
	}
	return []pki.Option{pki.WithLifetime(time.Duration(days) * day)}, nil
}

// made prints the files, unless err says that there are none.
func (p *program) made(dir, name string, err error) error {
	if err == nil {
		fmt.Fprintf(p.out, "%s\n%s\n", filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key"))
	}
	return err
}
