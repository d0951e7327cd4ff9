package server

import (
	"os"
	"path/filepath"

	"github.com/trusch/jamesd/internal/server/cache"
	"github.com/trusch/jamesd/pkg/james"
)

// machineCache is where programs of this machine keep what can be made again.
const machineCache = "/var/cache/jamesd"

// cacheDirectory returns --cache-dir or what stands for it.
func (o *options) cacheDirectory() string {
	switch {
	case o.cacheDir != "":
		return o.cacheDir
	case !isMongo(o.db):
		return filepath.Join(o.db, "cache")
	}
	own, err := os.UserCacheDir()
	if info, statErr := os.Stat(machineCache); err != nil || os.Geteuid() == 0 || statErr == nil && info.IsDir() {
		return machineCache
	}
	return filepath.Join(own, "jamesd")
}

// openCache opens the directory of what can be made again. It fails with
// KindConflict where another jamesd has it, and with KindInvalid where it cannot be
// used.
func (o *options) openCache() (*cache.Cache, error) {
	c, err := cache.Open(o.cacheDirectory(), int64(o.cacheSize))
	if err == nil || !james.KindOf(err).Retryable() {
		return c, err
	}
	hint := james.HintOf(err)
	if hint == "" {
		hint = "Give a directory that jamesd can write to with --cache-dir."
	}
	return nil, james.Errorf(james.KindInvalid, "--cache-dir", "%w", err).WithHint("%s", hint)
}
