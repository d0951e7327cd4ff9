package james

import "time"

// Packet is what the catalogue knows of one packet. The manifest and the archive
// are blobs: the manifest's name is Digest, the archive's is Archive.Digest.
type Packet struct {
	Digest Digest `json:"digest"`
	Name   string `json:"name"`
	Tags   TagSet `json:"tags"`
	// Entries counts the manifest's entries, Size sums its files, in bytes.
	Entries int          `json:"entries"`
	Size    int64        `json:"size"`
	Scripts []ScriptName `json:"scripts,omitempty"`
	// Replaces and Health are as in the Manifest.
	Replaces []string  `json:"replaces,omitempty"`
	Health   *Health   `json:"health,omitempty"`
	Archive  Archive   `json:"archive"`
	Added    time.Time `json:"added"`
	AddedBy  string    `json:"added_by,omitempty"` // common name of the admin
	// Contents is set when the server has the content of each file by itself, under
	// its sha256, besides the archive.
	Contents bool `json:"contents,omitempty"`
}

// Archive is a packet's files as they were uploaded.
type Archive struct {
	Digest Digest `json:"digest"`
	Size   int64  `json:"size"`   // bytes
	Format string `json:"format"` // "xz", "gzip", "bzip2", "zstd" or "tar"
}

// App returns the packet as an installed app.
func (p *Packet) App() App { return App{Name: p.Name, Tags: p.Tags, Digest: p.Digest} }

// App is a packet that is wanted or installed on a device.
type App struct {
	Name string `json:"name" yaml:"name"`
	Tags TagSet `json:"tags" yaml:"tags"`
	// Digest is the packet's; only an installed app has one.
	Digest Digest `json:"digest,omitzero" yaml:"-"`
}

// String returns "name" or "name tag,tag".
func (a App) String() string {
	if a.Tags.IsZero() {
		return a.Name
	}
	return a.Name + " " + a.Tags.String()
}
