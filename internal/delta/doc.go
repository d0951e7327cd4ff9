// Package delta makes and applies patches: what turns one content, the base, into
// another one that is much like it. A patch is in the manner of bsdiff: long parts
// of the new content are copied from the base, with the differences of single bytes
// that moved addresses leave all over a program, and what is found nowhere is
// inserted.
//
// Two kinds of content differ all over where little has changed, and are patched as
// what they are. What gzip has made is taken apart and made again (package regzip).
// In a program, the addresses in branches, accesses to memory and tables change with
// what has moved: the pieces of the patch say what has, so who applies it works out
// the new addresses, and the patch has only the differences to those.
//
// What always holds: a patch is made in bounded memory and time, whatever the
// contents are, and applied in constant memory, reading the base by position and
// writing the new content front to back. A patch knows nothing of digests: who
// applies one checks the new content against its manifest, and so it does not
// matter whether the base was what it should have been. A batch that comes from
// anywhere can neither make a reader read outside of its base, nor produce more
// than it says, nor take more memory than a small multiple of its own size.
//
// A patch is held, and sent, as columns: all lengths of copies after one another,
// then all lengths of inserts, and so on, each number as a varint. Equal things
// stand beside each other that way, which is what a compressor needs, and decoding
// a batch is nothing but checking and slicing it. The package compresses nothing:
// its callers compress batches, many in one frame.
package delta
