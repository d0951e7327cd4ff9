// Package transfer fetches the contents of files from the server to the device.
//
// It keeps what has arrived in a cache, which is a directory of files that are
// named by their sha256. A content is written into its file from front to back as
// it arrives: the size of the file tells whether all of it is there, its hash
// whether it is sound. So whatever ends the process, what has arrived is not
// fetched again; the content that was on its way goes on at its offset.
//
// A content arrives in one of two ways. The archive of a packet, as it was
// uploaded, has all files of the packet, and is decoded while it arrives and never
// stored. A stream has exactly what is asked for, each content whole or as a patch
// against a file of the device. The device has one or the other sent, whichever it
// will be through with sooner as far as it knows its link and its processor; it
// measures both all the time, and changes its mind while contents arrive.
//
// What always holds: a content that Fetch has said to be there was compared with
// its digest, whichever way it came; nothing is installed, nothing outside of the
// own directory is written; a lost connection is made again for as long as every
// few of them bring something, and a failure that will not go away is returned at
// once. What the current plan needs is never evicted; what others have left stays
// within a limit.
//
// The package knows no plans beyond their packets, and no HTTP.
package transfer
