package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// tools are the programs of others, by name.
type tools map[string]string

// providers says which of Debian's packages has a program.
var providers = map[string]string{
	"qemu-system-x86_64": "qemu-system-x86",
	"mkfs.ext4":          "e2fsprogs",
	"e2fsck":             "e2fsprogs",
	"cp":                 "coreutils",
	"go":                 "golang",
}

// findTools finds the programs, also where only the superuser looks for them.
func findTools() (tools, error) {
	found := tools{}
	var missing, install []string
	for name, provider := range providers {
		path, err := lookPath(name)
		if err != nil {
			missing = append(missing, name)
			install = append(install, provider)
			continue
		}
		found[name] = path
	}
	if missing == nil {
		return found, nil
	}
	slices.Sort(missing)
	slices.Sort(install)
	return nil, fmt.Errorf("missing: %s; install with: apt-get install %s", strings.Join(missing, ", "), strings.Join(slices.Compact(install), " "))
}

func lookPath(name string) (string, error) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil && filepath.IsAbs(path) {
			return path, nil
		}
	}
	return "", exec.ErrNotFound
}

// output runs a program and returns what it prints; its error says what it
// printed instead.
func output(ctx context.Context, dir, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("%s: %w: %s", filepath.Base(program), err, strings.TrimSpace(string(exit.Stderr)+string(out)))
	}
	return string(out), err
}
