// Package james holds the words that jamesd, jamesc and jamesd-ctl share: the
// domain types, the messages of the HTTPS API, and the one error type.
//
// A packet is a name, a tag set, files and scripts; it never changes and its
// digest, the sha256 of its manifest, identifies it. A device is known by the
// common name of its certificate and has system tags. An app is a packet that
// is wanted or installed on a device. The desired state of a device becomes,
// with the packets that exist, a plan of steps that the device carries out as
// one transaction and answers with a report.
//
// What always holds: a value that was decoded or built by a constructor here is
// valid by itself (names, tags, digests, paths), so no other package checks it
// again. The package imports the standard library only, does no input or
// output and knows nothing of HTTP, stores or disks.
package james
