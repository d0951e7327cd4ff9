package fleet

import (
	"context"
	"fmt"
	"time"

	"github.com/trusch/jamesd/pkg/james"
)

// CheckOptions say what a Check does besides looking. The functions are called in
// its goroutine and may be nil.
type CheckOptions struct {
	// Repair has it mend what can be mended, and collect what nothing refers to.
	Repair bool
	// Found is told of each problem, after the attempt to repair it.
	Found func(Problem)
	// Progress is told how many bytes of how many were read; about as many are what
	// total is.
	Progress func(done, total int64)
}

// Problem is one thing that is not as it must be.
type Problem struct {
	// Packet is what it concerns, as "name tags", and Digest that packet's; a
	// problem of the store itself has none.
	Packet string       `json:"packet,omitempty"`
	Digest james.Digest `json:"digest,omitzero"`
	What   string       `json:"what"`
	// Do says what somebody has to do about it, "" for a problem that was repaired.
	Do       string `json:"do,omitempty"`
	Repaired bool   `json:"repaired,omitempty"`
}

// Checkup is what a Check has looked at.
type Checkup struct {
	Packets int   `json:"packets"`
	Blobs   int64 `json:"blobs"` // that packets need
	Bytes   int64 `json:"bytes"` // of them, as they read
	// Packed counts the packets whose contents are still to be taken from their
	// archives, which jamesd does by itself.
	Packed int `json:"packed"`
	// Unused blobs are referred to by nothing and old enough to be collected,
	// Collected were. Both are 0 where the manifest of a packet cannot be read:
	// nobody knows then what it refers to, and nothing is collected.
	Unused         int64 `json:"unused"`
	UnusedBytes    int64 `json:"unused_bytes"`
	Collected      int64 `json:"collected"`
	CollectedBytes int64 `json:"collected_bytes"`
	Problems       int   `json:"problems"`
	Repaired       int   `json:"repaired"` // of the problems
}

// Check looks whether the store can be read, and whether every blob that its packets
// need is there and reads as its digest. It reads all of them, beside whatever else
// goes on. It fails where it could not look, with james.KindInterrupted when ctx ends.
// Problems are no failure.
func (f *Fleet) Check(ctx context.Context, o CheckOptions) (Checkup, error) {
	c := &checker{Fleet: f, o: o, used: newUsed(0), manifests: make(map[*james.Packet]string), bad: make(map[james.Digest]string)}
	for _, step := range []func(context.Context) error{c.verifyStore, c.readManifests, c.readBlobs, c.judge, c.lookForUnused} {
		if err := step(ctx); err != nil {
			return c.sum, err
		}
	}
	return c.sum, nil
}

// checker is one Check.
type checker struct {
	*Fleet
	o       CheckOptions
	sum     Checkup
	packets []*james.Packet
	used    *used
	total   int64 // bytes that are to be read
	// What is wrong with the manifests of packets, and with blobs.
	manifests map[*james.Packet]string
	bad       map[james.Digest]string
}

func (c *checker) found(p Problem) {
	c.sum.Problems++
	if p.Repaired {
		c.sum.Repaired++
	}
	if c.o.Found != nil {
		c.o.Found(p)
	}
}

func (c *checker) progress(more int64) {
	c.sum.Bytes += more
	if c.o.Progress != nil {
		c.o.Progress(c.sum.Bytes, max(c.total, c.sum.Bytes))
	}
}

// RestoreHint says what to do about a store that cannot be read.
const RestoreHint = "restore the last backup with jamesd restore; jamesd does not start with what is damaged so"

func (c *checker) verifyStore(ctx context.Context) error {
	return c.Fleet.o.Store.Verify(ctx, func(err error) { c.found(Problem{What: err.Error(), Do: RestoreHint}) })
}

// readManifests reads what packets are made of.
func (c *checker) readManifests(ctx context.Context) error {
	if err := c.refresh(ctx); err != nil {
		return err
	}
	blobs := 0
	for _, p := range c.packetsBut(nil) {
		c.packets = append(c.packets, p)
		c.total += p.Archive.Size
		blobs += p.Entries + 2
		if p.Contents {
			c.total += p.Size
		} else {
			c.sum.Packed++
		}
	}
	c.sum.Packets = len(c.packets)
	c.used = newUsed(blobs)
	for _, p := range c.packets {
		m, err := readManifest(ctx, c.Fleet.o.Blobs, p)
		if err == nil {
			err = goesWith(p, m)
		}
		if err == nil {
			c.used.addPacket(p, m)
			continue
		}
		if kind := james.KindOf(err); kind != james.KindCorrupt && kind != james.KindNotFound {
			return err
		}
		c.manifests[p] = err.Error()
	}
	return nil
}

// goesWith fails where a packet's row is not that of its manifest.
func goesWith(p *james.Packet, m *james.Manifest) error {
	if p.Name != m.Name || !p.Tags.Equal(m.Tags) || p.Entries != len(m.Entries) || p.Size != m.Size() {
		return james.Errorf(james.KindCorrupt, "manifest "+p.Digest.Short(), "is that of another packet, %s", m.Name)
	}
	return nil
}

// readBlobs reads all that packets need but the manifests.
func (c *checker) readBlobs(ctx context.Context) error {
	manifest := func(ctx context.Context, p *james.Packet) (*james.Manifest, error) {
		if c.manifests[p] != "" {
			return nil, nil
		}
		m, err := readManifest(ctx, c.Fleet.o.Blobs, p)
		if kind := james.KindOf(err); kind == james.KindCorrupt || kind == james.KindNotFound {
			c.manifests[p] = err.Error() // since it was read before
			return nil, nil
		}
		return m, err
	}
	return eachNeeded(ctx, c.packets, manifest, func(b Blob) error {
		c.sum.Blobs++
		if b.Part == PartManifest {
			return nil
		}
		what, err := c.fault(ctx, b.Digest, c.progress)
		if what != "" {
			c.bad[b.Digest] = what
		}
		return err
	})
}

// judge says which packets have what is wrong.
func (c *checker) judge(ctx context.Context) error {
	for _, p := range c.packets {
		if c.manifests[p] == "" && len(c.bad) == 0 {
			continue
		}
		if there, err := c.has(ctx, p); err != nil {
			return err
		} else if !there {
			continue // deleted or changed meanwhile, and its blobs perhaps, too
		}
		if err := c.judgePacket(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) judgePacket(ctx context.Context, p *james.Packet) error {
	problem := Problem{Packet: p.App().String(), Digest: p.Digest}
	again := addAgain(p)
	if what := c.manifests[p]; what != "" {
		problem.What, problem.Do = "its manifest cannot be used: "+what, again+"; until then nothing that is unused is collected"
		c.found(problem)
		return nil
	}
	if what := c.bad[p.Archive.Digest]; what != "" {
		problem.What, problem.Do = "its archive is damaged: "+what, again
		c.found(problem)
	}
	count, first, err := c.badContents(ctx, p)
	if err != nil || count == 0 {
		return err
	}
	problem.What, problem.Do = fmt.Sprintf("%d of the contents of its files are damaged, the first that of %s", count, first),
		"jamesd check --repair takes them from the archive again"
	if c.o.Repair {
		err := c.mend(ctx, p)
		switch kind := james.KindOf(err); {
		case err == nil:
			problem.Do, problem.Repaired = "", true
		case kind.Retryable():
			return err
		default:
			problem.What, problem.Do = problem.What+"; taking them from the archive again failed: "+err.Error(), again
		}
	}
	c.found(problem)
	return nil
}

// addAgain says how somebody brings back what there is nowhere else.
func addAgain(p *james.Packet) string {
	text := "add the packet again from the same archive: jamesd-ctl add-packet --name " + p.Name
	if !p.Tags.IsZero() {
		text += " --tags " + p.Tags.String()
	}
	text += " --data FILE"
	if len(p.Scripts) > 0 || len(p.Replaces) > 0 {
		text += ", with the same scripts and all else that it was added with"
	}
	return text
}

// badContents counts the contents of a packet that are damaged, and names the file
// that has the first.
func (c *checker) badContents(ctx context.Context, p *james.Packet) (count int, first james.Path, err error) {
	if !p.Contents {
		return 0, "", nil
	}
	m, err := c.manifest(ctx, p)
	if err != nil {
		return 0, "", err
	}
	seen := make(map[james.Digest]bool)
	for i := range m.Entries {
		e := &m.Entries[i]
		if e.Type != james.TypeFile || c.bad[e.Digest] == "" || seen[e.Digest] {
			continue
		}
		seen[e.Digest] = true
		if count++; count == 1 {
			first = e.Path
		}
	}
	return count, first, nil
}

// mend has the contents of a packet taken from its archive again.
func (c *checker) mend(ctx context.Context, p *james.Packet) error {
	if err := c.unmark(ctx, p); err != nil {
		return err
	}
	if p = c.Known(p.Digest); p == nil {
		return nil // deleted meanwhile
	}
	err := c.unpackOne(ctx, p)
	if err != nil {
		c.unpackSoon()
	}
	return err
}

// lookForUnused counts what nothing refers to, and collects it if it is to.
func (c *checker) lookForUnused(ctx context.Context) error {
	if len(c.manifests) > 0 {
		return nil
	}
	now := c.Fleet.o.Now()
	before := now.Add(-c.Fleet.o.CollectAge)
	if err := c.countUnused(ctx, before); err != nil || !c.o.Repair {
		return err
	}
	if err := c.refresh(ctx); err != nil {
		return err
	}
	sum, err := c.collectUnused(ctx, before)
	c.sum.Collected, c.sum.CollectedBytes = sum.count, sum.bytes
	if err != nil {
		return err
	}
	return c.Fleet.o.Blobs.Sweep(ctx, now.Add(-c.Fleet.o.SweepAge))
}

func (c *checker) countUnused(ctx context.Context, before time.Time) error {
	for listed, err := range c.Fleet.o.Blobs.List(ctx) {
		if err != nil {
			return err
		}
		if !c.used.has(listed.Digest) && listed.Modified.Before(before) {
			c.sum.Unused++
			c.sum.UnusedBytes += listed.Stored
		}
	}
	return nil
}
