// Package archive reads, checks and builds packet archives: tars, plain or
// compressed with xz, gzip, bzip2 or zstd, as "tar cfvJ x.tar.xz -C root/ ."
// makes them. What the bytes are is told by their content, never by a name.
//
// What always holds: an archive is read once, front to back, and to its very
// end, so that who read it has seen every byte; nothing depends on its size but
// the list of entries, which is bounded; no decompressor gets more than
// maxWindow of memory, whatever the archive asks for. What Scan accepts,
// Extract accepts, and what Build writes, both accept.
//
// An archive is taken or refused as a whole. The install root itself, "./", is
// not an entry: a packet must not change the mode of the directory it is
// installed in. Directories that an archive does not list are not added.
//
// The package writes to no disk and knows nothing of stores, servers or the
// tree that a packet is installed in.
package archive
