package main

import (
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// kernel is an unpacked linux-image package of Debian's.
type kernel struct {
	release string
	image   string
	modules map[string]string // files by module name
}

// kernelPackage depends on the newest of its kind.
const kernelPackage = "linux-image-cloud-amd64"

// wanted are the modules that the machine needs, if they are not built in.
var wanted = []string{"virtio_pci", "virtio_blk", "virtio_net"}

// findKernel returns the kernel that is installed or was downloaded before, or
// downloads one into the directory cache; nothing is installed.
func findKernel(ctx context.Context, cache string) (*kernel, error) {
	for _, root := range []string{"/", cache} {
		if k, err := newestKernel(root); k != nil || err != nil {
			return k, err
		}
	}
	if err := downloadKernel(ctx, cache); err != nil {
		return nil, err
	}
	k, err := newestKernel(cache)
	if k == nil && err == nil {
		err = fmt.Errorf("%s: the package of the kernel has none for the cloud", cache)
	}
	return k, err
}

// newestKernel returns the last kernel below a root, nil where there is none.
func newestKernel(root string) (*kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*-cloud-amd64"))
	if err != nil {
		return nil, err
	}
	slices.Sort(images)
	for _, image := range slices.Backward(images) {
		release := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		modules, err := listModules(filepath.Join(root, "lib/modules", release, "kernel"))
		if file, openErr := os.Open(image); openErr == nil && err == nil && len(modules) > 0 {
			file.Close()
			return &kernel{release, image, modules}, nil
		}
	}
	return nil, nil
}

func listModules(dir string) (map[string]string, error) {
	modules := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if name, ok := strings.CutSuffix(filepath.Base(path), ".ko"); ok && err == nil {
			modules[strings.ReplaceAll(name, "-", "_")] = path
		}
		return err
	})
	return modules, err
}

// downloadKernel fetches the package and unpacks it.
func downloadKernel(ctx context.Context, cache string) error {
	for _, program := range []string{"apt-cache", "apt-get", "dpkg-deb"} {
		if _, err := lookPath(program); err != nil {
			return fmt.Errorf("missing: a kernel of Debian's package %s in /boot, and %s to download one", kernelPackage, program)
		}
	}
	out, err := output(ctx, "", "apt-cache", "depends", kernelPackage)
	_, name, found := strings.Cut(out, "Depends: linux-image")
	name, _, _ = strings.Cut(name, "\n")
	if err != nil || !found {
		return errors.Join(fmt.Errorf("missing: a kernel; apt knows no package %s; try: apt-get update, or install it with: apt-get install %s", kernelPackage, kernelPackage), err)
	}
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return err
	}
	args := []string{"-q", "download", "linux-image" + name}
	if os.Geteuid() == 0 { // a helper of another user could not write into the directory
		args = append([]string{"-o", "APT::Sandbox::User=root"}, args...)
	}
	if _, err := output(ctx, cache, "apt-get", args...); err != nil {
		return fmt.Errorf("the kernel could not be downloaded: %w; install it with: apt-get install %s", err, kernelPackage)
	}
	debs, err := filepath.Glob(filepath.Join(cache, "*.deb"))
	if err != nil || len(debs) == 0 {
		return errors.Join(fmt.Errorf("%s: no package was downloaded", cache), err)
	}
	for _, deb := range debs {
		if _, err := output(ctx, cache, "dpkg-deb", "-x", deb, "."); err != nil {
			return err
		}
		os.Remove(deb)
	}
	return nil
}

// needed returns the files of the wanted modules and of what they depend on, in
// the order in which they are to be inserted. A module that is not there is
// built in.
func (k *kernel) needed() ([]string, error) {
	var files []string
	var add func(name string) error
	add = func(name string) error {
		file := k.modules[name]
		if file == "" || slices.Contains(files, file) {
			return nil
		}
		depends, err := dependencies(file)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		for _, other := range depends {
			if err := add(other); err != nil {
				return err
			}
		}
		files = append(files, file)
		return nil
	}
	for _, name := range wanted {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// dependencies returns the names of the modules that one needs, as it says itself.
func dependencies(file string) ([]string, error) {
	f, err := elf.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, errors.New("says nothing about itself")
	}
	info, err := section.Data()
	if err != nil {
		return nil, err
	}
	for line := range strings.SplitSeq(string(info), "\x00") {
		if list, ok := strings.CutPrefix(line, "depends="); ok && list != "" {
			return strings.Split(strings.ReplaceAll(list, "-", "_"), ","), nil
		}
	}
	return nil, nil
}
