package ctl

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/trusch/jamesd/internal/archive"
	"github.com/trusch/jamesd/pkg/james"
)

type buildOptions struct {
	dir, file string
	keepOwner bool
}

func (p *program) buildPacketCommand() *cobra.Command {
	var o buildOptions
	cmd := &cobra.Command{
		Use:   "build-packet DIR [-o FILE]",
		Short: "Make a packet's archive of a directory",
		Long: `Make the archive of a packet of the files below DIR, whose places in it are those on
the device. The same tree gives the same archive, byte by byte: entries are
sorted, belong to root unless --keep-owner is given, and have no time later than
that of the variable SOURCE_DATE_EPOCH, or 1970 where it is not set.

FILE is DIR.tar.xz unless -o says otherwise; its ending chooses the compression:
.tar.xz, .tar.zst, .tar.gz or .tar.`,
		Example: `  jamesd-ctl build-packet openvpn-root -o openvpn.tar.xz
  jamesd-ctl add-packet --name openvpn --tags v1.0.0 --data openvpn.tar.xz`,
		RunE: func(cmd *cobra.Command, _ []string) error { return p.buildPacket(cmd.Context(), o) },
	}
	dirs := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return nil, cobra.ShellCompDirectiveFilterDirs
	}
	p.named(cmd, &o.dir, "dir", "the `DIR` with the files", true, dirs)
	cmd.Flags().StringVarP(&o.file, "output", "o", "", "write the archive to `FILE`, - for the standard output")
	cmd.Flags().BoolVar(&o.keepOwner, "keep-owner", false, "keep the owners of the files")
	return cmd
}

func (p *program) buildPacket(ctx context.Context, o buildOptions) error {
	const op = "build a packet of"
	build, err := o.check(p.Getenv)
	if err != nil {
		return james.Cannot(op, o.dir, err)
	}
	m := &meter{}
	build.Progress = func(_ james.Path, done, total int64) {
		if m.bar == nil && total > 0 {
			m = p.meter(filepath.Base(o.dir), total)
		}
		m.set(done)
	}
	err = p.writeFile(o.file, func(w io.Writer) error { return archive.Build(ctx, w, o.dir, build) })
	m.close()
	if err != nil {
		return james.Cannot(op, o.dir, err)
	}
	if o.file != "-" {
		fmt.Fprintln(p.out, o.file)
	}
	return nil
}

// check completes the options and says what is wrong with them.
func (o *buildOptions) check(getenv func(string) string) (archive.BuildOptions, error) {
	build := archive.BuildOptions{KeepOwner: o.keepOwner}
	info, err := os.Stat(o.dir)
	if err != nil {
		return build, fileError("", err)
	}
	if !info.IsDir() {
		return build, james.Errorf(james.KindInvalid, "", "it is not a directory")
	}
	if o.file == "" {
		abs, err := filepath.Abs(o.dir)
		if err != nil {
			return build, err
		}
		o.file = filepath.Base(abs) + ".tar.xz"
	}
	if build.Format, err = formatOf(o.file); err != nil {
		return build, err
	}
	if inside(o.file, o.dir) {
		return build, james.Errorf(james.KindInvalid, o.file, "lies in the directory itself").WithHint("Write it elsewhere with -o FILE.")
	}
	if v := getenv("SOURCE_DATE_EPOCH"); v != "" {
		seconds, err := strconv.ParseInt(v, 10, 64)
		if err != nil || seconds < 0 {
			return build, james.Errorf(james.KindInvalid, "SOURCE_DATE_EPOCH", "%q is not a number of seconds since 1970", v)
		}
		build.Time = time.Unix(seconds, 0)
	}
	return build, nil
}

// formatOf returns the format that the name of an archive asks for.
func formatOf(file string) (string, error) {
	for _, f := range []struct{ ending, format string }{
		{".tar.xz", archive.FormatXz}, {".txz", archive.FormatXz}, {".tar.zst", archive.FormatZstd},
		{".tar.gz", archive.FormatGzip}, {".tgz", archive.FormatGzip}, {".tar", archive.FormatTar},
	} {
		if strings.HasSuffix(file, f.ending) {
			return f.format, nil
		}
	}
	if file == "-" || !strings.Contains(filepath.Base(file), ".tar.") {
		return archive.FormatXz, nil
	}
	return "", james.Errorf(james.KindInvalid, file, "cannot be made: the compression is not known").
		WithHint("Use a name that ends with .tar.xz, .tar.zst, .tar.gz or .tar.")
}

// inside reports whether file lies below dir, where the archive would contain
// itself.
func inside(file, dir string) bool {
	if file == "-" {
		return false
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(file))
	if err != nil {
		return false // writing it will fail
	}
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false
	}
	parent, err1 := filepath.Abs(parent)
	root, err2 := filepath.Abs(root)
	if err1 != nil || err2 != nil {
		return false
	}
	rel, err := filepath.Rel(root, parent)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, "../")
}
