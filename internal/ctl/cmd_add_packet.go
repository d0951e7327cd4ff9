package ctl

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/pkg/james"
)

type addPacketOptions struct {
	name, data string
	tags       []string
	scripts    map[james.ScriptName]*string // files
	health     healthFlags
	replaces   []string
	replace    bool
}

func (p *program) addPacketCommand() *cobra.Command {
	o := &addPacketOptions{scripts: map[james.ScriptName]*string{}}
	cmd := &cobra.Command{
		Use:   "add-packet --name NAME --data FILE [--tags TAGS]",
		Short: "Upload a packet",
		Long: `Upload a packet: a tar archive of files as they are to be on the device, compressed
with xz, gzip, bzip2 or zstd or not at all, the tags that say which devices it is
for and which version it is, and the scripts that run before and after it is
installed and removed. A script file that is empty stands for no script.

The script of --health is run when everything of a plan is in place. If it fails,
and fails again when it is tried again, the device undoes the whole plan.

Two packets that have the same file cannot both be on a device, unless one of them
names the other with --replaces: then the file is that of the one that does.

A packet never changes. Adding one that is there already succeeds and changes
nothing; other content of the same name and tags needs --replace, and the devices
that have the old content get the new one as an upgrade.`,
		Example: `  tar cfJ openvpn.tar.xz -C openvpn-root/ .
  jamesd-ctl add-packet --name openvpn --data openvpn.tar.xz \
    --tags v1.0.0,armv7l,systemd,glibc-2.23 --postinst postinst.sh`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.data == "" {
				return usagef(cmd, "the archive is missing").WithHint("Give it with --data FILE.")
			}
			return p.addPacket(cmd.Context(), o)
		},
	}
	p.named(cmd, &o.name, "name", "the packet's `NAME`", true, p.packetNames)
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.data, "data", "", "the archive `FILE`, - for the standard input")
	f.StringSliceVar(&o.tags, "tags", nil, "the packet's `TAGS`, separated by commas")
	p.complete(cmd, "tags", p.tags)
	for _, s := range james.ScriptNames() {
		o.scripts[s] = f.String(string(s), "", "the "+string(s)+" script's `FILE`")
	}
	o.health.define(f)
	f.StringSliceVar(&o.replaces, "replaces", nil, "`NAMES` of packets that this one may take files over from")
	p.complete(cmd, "replaces", p.packetNameList)
	f.BoolVar(&o.replace, "replace", false, "replace a packet of this name and these tags that has other content")
	p.printsFormats(cmd)
	return cmd
}

func (p *program) addPacket(ctx context.Context, o *addPacketOptions) error {
	r, err := p.upload(ctx, o)
	if err != nil {
		return cannot("add packet", o.name, err)
	}
	return p.print(r, func(w io.Writer) {
		k := r.Packet
		result := "it was there already"
		switch {
		case !r.Replaced.IsZero():
			result = "added in place of " + r.Replaced.String()
		case r.Added:
			result = "added"
		}
		table(w, "",
			[]string{"packet:", k.App().String()},
			[]string{"digest:", k.Digest.String()},
			[]string{"files:", fmt.Sprintf("%d entries, %s", k.Entries, size(k.Size))},
			[]string{"result:", result})
	})
}

// upload checks everything that is here before it calls the server.
func (p *program) upload(ctx context.Context, o *addPacketOptions) (r james.AddPacketResponse, err error) {
	req, err := o.request()
	if err != nil {
		return r, err
	}
	archive, length, err := p.openArchive(ctx, o.data)
	if err != nil {
		return r, err
	}
	defer archive.Close()
	c, err := p.connect(retries)
	if err != nil {
		return r, err
	}
	defer c.Close()
	m := p.meter(o.name, length)
	defer m.close()
	return c.AddPacket(ctx, req, io.TeeReader(archive, m))
}

func (o *addPacketOptions) request() (james.AddPacketRequest, error) {
	req := james.AddPacketRequest{Name: o.name, Replace: o.replace, Scripts: map[james.ScriptName][]byte{}}
	if err := james.CheckName(o.name); err != nil {
		return req, err
	}
	var err error
	if req.Replaces, err = nameList("--replaces", o.replaces); err != nil {
		return req, err
	}
	if slices.Contains(req.Replaces, o.name) {
		return req, james.Errorf(james.KindInvalid, "--replaces", "names the packet itself").
			WithHint("To replace a packet of the same name and tags use --replace.")
	}
	if req.Tags, err = james.ParseTags(strings.Join(o.tags, ",")); err != nil {
		return req, err
	}
	for _, s := range james.ScriptNames() {
		body, err := readScript(*o.scripts[s])
		if err != nil {
			return req, err
		}
		if len(body) > 0 {
			req.Scripts[s] = body
		}
	}
	req.Health, err = o.health.limits(req.Scripts[james.HealthCheck] != nil)
	return req, err
}

func readScript(file string) ([]byte, error) {
	if file == "" {
		return nil, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, fileError(file, err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, james.MaxScript+1))
	switch {
	case err != nil:
		return nil, fileError(file, err)
	case len(body) > james.MaxScript:
		return nil, james.Errorf(james.KindInvalid, file, "is too large for a script, the limit is %d bytes", james.MaxScript).
			WithHint("Put what is large into the packet.")
	}
	return body, nil
}

// openArchive returns the archive and its length, -1 where that is not known.
func (p *program) openArchive(ctx context.Context, file string) (io.ReadCloser, int64, error) {
	if file == "-" {
		return interruptible(ctx, p.In), -1, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, 0, fileError(file, err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
		err = fileError(file, err)
	case info.IsDir():
		err = james.Errorf(james.KindInvalid, file, "is a directory, an archive is wanted").
			WithHint("Make one with: jamesd-ctl build-packet %s -o %s.tar.xz", file, filepath.Base(filepath.Clean(file)))
	case !info.Mode().IsRegular():
		return interruptible(ctx, f), -1, nil
	case info.Size() == 0:
		err = james.Errorf(james.KindInvalid, file, "is empty, an archive is wanted")
	default:
		return f, info.Size(), nil
	}
	f.Close()
	return nil, 0, err
}

// interruptible returns a reader of r that fails when ctx ends, although r still
// waits for input, as a pipe or a terminal does. What waits for it is left behind
// then; it ends with the input, or with the process.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	out, in := io.Pipe()
	go func() {
		_, err := io.Copy(in, r)
		in.CloseWithError(err)
	}()
	context.AfterFunc(ctx, func() { in.CloseWithError(context.Cause(ctx)) })
	return out
}
