package txn

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/trusch/jamesd/internal/device/disk"
	"github.com/trusch/jamesd/pkg/james"
)

// The inventory is kept twice, in two files that share nothing, each with its
// checksum: without it nothing that is installed can be removed any more. Both
// are written while staging and switched after the commit record. Of the two the
// newest that is whole counts; the agent writes the other again at its start.
var (
	stateFiles = [...]string{stateFile, "state.backup.json"}
	nextFiles  = [...]string{nextFile, "next.backup.json"} // those of after the transaction
)

// stored is what one of the files holds.
type stored struct {
	Sum       james.Digest    `json:"sum"` // of the bytes of Inventory
	Inventory json.RawMessage `json:"inventory"`
}

// encode returns the content of a file that holds inv, and the digest by which a
// journal knows it.
func (inv *inventory) encode() ([]byte, james.Digest, error) {
	raw, err := json.Marshal(inv)
	if err != nil {
		return nil, james.Digest{}, james.Errorf(james.KindInternal, stateFile, "%w", err)
	}
	sum := james.Digest(sha256.Sum256(raw))
	return fmt.Appendf(nil, "{\"sum\":%q,\"inventory\":%s}\n", sum, raw), sum, nil
}

// loadInventory reads one of the files. It fails with KindNotFound where there is
// none and with KindCorrupt where it is not whole.
func loadInventory(d *disk.Disk, path string) (*inventory, error) {
	raw, err := d.ReadFile(path, maxInventory)
	if err != nil {
		return nil, err
	}
	inv, err := decodeInventory(raw)
	if err != nil {
		return nil, james.Errorf(james.KindCorrupt, d.Abs(path), "is damaged: %w", err)
	}
	return inv, nil
}

func decodeInventory(raw []byte) (*inventory, error) {
	var file stored
	if err := json.Unmarshal(raw, &file); err != nil {
		return nil, err
	}
	inv := &inventory{sum: sha256.Sum256(file.Inventory)}
	if file.Inventory == nil && file.Sum.IsZero() {
		return inv, strictly(raw, inv) // as it was before there was a checksum
	}
	if inv.sum != file.Sum {
		return nil, errors.New("its checksum is not that of what it holds")
	}
	return inv, json.Unmarshal(file.Inventory, inv)
}

// strictly decodes JSON in which nothing is unknown.
func strictly(raw []byte, to any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	return dec.Decode(to)
}

// newest returns the inventory that counts of several files, with one error for
// each file that has another or none. Without any file nothing is installed.
func newest(d *disk.Disk, files []string) (*inventory, []error, error) {
	all, faults := make([]*inventory, len(files)), make([]error, len(files))
	var inv *inventory
	missing := 0
	for n, path := range files {
		all[n], faults[n] = loadInventory(d, path)
		switch {
		case errors.Is(faults[n], os.ErrNotExist):
			missing++
		case faults[n] == nil && (inv == nil || all[n].Serial > inv.Serial):
			inv = all[n]
		}
	}
	if inv == nil && missing == len(files) {
		return &inventory{}, nil, nil
	}
	if inv == nil {
		return nil, nil, noInventory(d, faults)
	}
	for n, path := range files {
		if faults[n] == nil && all[n].Serial != inv.Serial {
			faults[n] = james.Errorf(james.KindCorrupt, d.Abs(path), "is older than its copy")
		}
	}
	return inv, faults, nil
}

// noInventory says that no file is whole.
func noInventory(d *disk.Disk, faults []error) error {
	for _, err := range faults {
		if err != nil && james.KindOf(err) != james.KindCorrupt && !errors.Is(err, os.ErrNotExist) {
			return err // it may be whole, and cannot be read now
		}
	}
	return james.Errorf(james.KindCorrupt, d.Root(), "what is installed is not known any more: %w", errors.Join(faults...)).
		WithHint("bring %s back from a backup, or start anew with an empty state directory and remove by hand what was installed", d.Abs(stateFile))
}

// loadState reads the inventory and says what is wrong with its files.
func (i *Installer) loadState() error {
	inv, faults, err := newest(i.state, stateFiles[:])
	if err != nil {
		return err
	}
	for _, err := range faults {
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			i.tellFault(err)
		}
	}
	i.setInventory(inv)
	return nil
}

// tellFault logs what is wrong with a file of the inventory, once: it is read
// again and again until it is mended.
func (i *Installer) tellFault(err error) {
	i.mu.Lock()
	known := i.told == err.Error()
	i.told = err.Error()
	i.mu.Unlock()
	if !known {
		i.Log.WithError(err).Warn("one of the two copies of the inventory is not used")
	}
}

// mendState writes those files of the inventory again that are not as the other.
func (i *Installer) mendState() {
	inv, faults, err := newest(i.state, stateFiles[:])
	if err != nil || faults == nil {
		return
	}
	raw, _, err := inv.encode()
	for n, path := range stateFiles {
		if faults[n] == nil || err != nil {
			continue
		}
		log := i.Log.WithField("path", i.state.Abs(path))
		if err := i.state.Replace(path, raw, 0o600); err != nil {
			log.WithError(err).Warn("a copy of the inventory cannot be mended")
			continue
		}
		log.Debug("a copy of the inventory was written again")
	}
}

// stageNext writes the inventory of after the transaction.
func (t *txn) stageNext() error {
	raw, _, err := t.next.encode()
	if err != nil {
		return err
	}
	for _, path := range nextFiles {
		if err := t.writeState(path, raw); err != nil {
			return err
		}
	}
	return nil
}

// switchState makes the inventory of after the transaction the one that counts.
// A file of it that was damaged meanwhile does not take the place of a whole one.
func (t *txn) switchState() error {
	for n, path := range nextFiles {
		next, err := loadInventory(t.i.state, path)
		switch {
		case errors.Is(err, os.ErrNotExist): // it was renamed before
			continue
		case err == nil && (t.nextSum.IsZero() || next.sum == t.nextSum):
			err = t.i.state.Rename(path, stateFiles[n])
		case err == nil || james.KindOf(err) == james.KindCorrupt:
			err = t.i.state.RemoveAll(path)
		}
		if err != nil {
			return err
		}
	}
	if err := t.i.state.Fsync("."); err != nil {
		return err
	}
	if err := t.i.loadState(); err != nil {
		return err
	}
	if now := t.i.inventory().sum; !t.nextSum.IsZero() && now != t.nextSum {
		return james.Errorf(james.KindCorrupt, t.i.state.Root(), "the inventory of after a committed transaction is lost")
	}
	return nil
}

// switched reports whether the inventory on the disk is that of after the
// transaction: then it was committed, whatever the journal has lost.
func (t *txn) switched() bool { return !t.nextSum.IsZero() && t.i.inventory().sum == t.nextSum }
