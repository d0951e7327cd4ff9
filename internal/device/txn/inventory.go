package txn

import (
	"encoding/hex"
	"io"
	"strings"

	"github.com/trusch/jamesd/pkg/james"
)

// What is in the state directory.
const (
	stateFile   = "state.json"
	nextFile    = "next.json" // the inventory of after the transaction
	journalFile = "journal"
	lockFile    = "lock"      // of the agent, for as long as it runs
	turnFile    = "turn"      // of a transaction
	idFile      = "id"        // says whose a work area is
	manifestDir = "manifests" // of the installed packets and those of the transaction
	runDir      = "run"       // the scripts of the transaction
)

// maxInventory bounds the inventory, in bytes.
const maxInventory = 64 << 20

// inventory is what the installer has put on the device. It is never changed
// once made.
type inventory struct {
	// Serial counts the transactions, so that no two inventories are alike.
	Serial uint64       `json:"serial,omitzero"`
	Apps   []installed  `json:"apps"` // sorted by name
	Dirs   []james.Path `json:"dirs"` // physical, those that the installer made; sorted
	// Last is the plan that was committed last, nil where none was.
	Last *committed `json:"last,omitempty"`

	sum james.Digest // by which a journal knows it
}

// committed is a plan that the device has carried out.
type committed struct {
	Plan     james.Digest `json:"plan"`
	Revision uint64       `json:"revision"`
	Serial   uint64       `json:"serial"` // of the inventory that it made
}

// installed is an app with what its manifest does not tell.
type installed struct {
	james.App
	// Beside are the configuration files, as the manifest names them, whose
	// packet's version lies beside the local one.
	Beside []james.Path `json:"beside,omitempty"`
	// Lost are the configuration files, as the manifest names them, that are not
	// there because they went with a packet that had taken them over. Nobody has
	// deleted them, so the next version puts its own there.
	Lost []james.Path `json:"lost,omitempty"`
}

// manifestFile is where the manifest of that digest is kept.
func manifestFile(d james.Digest) string { return manifestDir + "/" + d.String() + ".json" }

// manifest returns the kept manifest of an installed app.
func (i *Installer) manifest(a james.App) (*james.Manifest, error) {
	file, err := i.state.OpenFile(manifestFile(a.Digest))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return james.DecodeManifest(file, a.Digest)
}

// dropManifests removes the manifests of packets that are not installed.
func (i *Installer) dropManifests() error {
	keep := map[string]bool{}
	for _, a := range i.inventory().Apps {
		keep[a.Digest.String()+".json"] = true
	}
	names, err := i.state.ReadDir(manifestDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if keep[name] {
			continue
		}
		if err := i.state.RemoveAll(manifestDir + "/" + name); err != nil {
			return err
		}
	}
	return nil
}

// idLen is the length of the id of a state directory.
const idLen = 32

// loadID reads the id of the state directory, or gives it one. Without one, on a
// disk that was full from the beginning, work areas that are left behind cannot
// be told from those of others and stay until the next transaction.
func (i *Installer) loadID(make bool) error {
	raw, err := i.state.ReadFile(idFile, idLen)
	if id := string(raw); err == nil && len(id) == idLen && strings.Trim(id, "0123456789abcdef") == "" {
		i.id = id
		return nil
	}
	if !make {
		return nil // the agent will
	}
	var random [idLen / 2]byte
	if _, err := io.ReadFull(i.Rand, random[:]); err != nil {
		return james.Errorf(james.KindInternal, "random numbers", "%w", err)
	}
	id := hex.EncodeToString(random[:])
	if err := i.state.Replace(idFile, []byte(id), 0o600); err != nil {
		return err
	}
	i.id = id
	return nil
}
