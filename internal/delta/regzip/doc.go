// Package regzip compresses as GNU gzip does, bit by bit. A file that gzip has made
// is nothing but its content, its header and the level, so who can make it again need
// not send or store it: a small change of the content changes all that follows in the
// compressed file, and a patch of that would be as large as the file.
//
// Deflate leaves it to the compressor which matches it takes, where it ends a block and
// which of several equally good codes it uses. What is here decides all of that as
// gzip 1.2 to 1.13 do at the levels 4 to 9. Whether a file was made so is found out by
// making it again. Memory is constant, about half a MiB.
package regzip
