// Package inventory finds out what a device is: its system tags. They say for
// which machine, C library, init and operating system a packet must be made to
// run here.
//
// What always holds: detecting never fails and runs nothing. What cannot be
// told is left out, reads are bounded, and below a given root no symbolic link
// leads out of it. The package knows nothing of packets, servers or
// configuration.
package inventory

import (
	"cmp"

	"github.com/trusch/jamesd/pkg/james"
)

// Auto is the word that stands for the detected tags in a list of tags.
const Auto = "auto"

// Host is a machine to look at. Empty fields describe the one that the program
// runs on.
type Host struct {
	// Root is the directory that holds the machine's file system.
	Root string
	// Machine is what "uname -m" says.
	Machine string
	// Arch and Variant are the GOARCH and the GOARM that the program was built
	// for.
	Arch, Variant string
}

// Tags returns the host's system tags: of each of machine, C library, init and
// operating system one at most.
func (h Host) Tags() james.TagSet {
	t := tree(cmp.Or(h.Root, "/"))
	var tags []string
	for _, tag := range []string{h.machine(), libc(t), initSystem(t), release(t)} {
		if james.CheckTag(tag) == nil {
			tags = append(tags, tag)
		}
	}
	set, err := james.NewTagSet(tags...)
	if err != nil {
		panic(err) // each of the four was checked
	}
	return set
}

// Select returns the tags of a comma-separated list in which the word Auto
// stands for those that detect returns; detect is not called without it. It
// fails with james.KindInvalid for a malformed tag or too many of them.
func Select(list string, detect func() james.TagSet) (james.TagSet, error) {
	set, err := james.ParseTags(list)
	if err != nil || !set.Has(Auto) {
		return set, err
	}
	named := set.Minus(james.MustTags(Auto)).Strings()
	return james.NewTagSet(append(named, detect().Strings()...)...)
}
