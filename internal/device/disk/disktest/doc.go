// Package disktest is a model, in memory, of what a crash leaves of a file
// system. It is for tests: no program links it.
//
// A Recorder is plugged into a disk as its Hook and follows a few directory
// trees. Its History can then say what the trees hold after any of the
// operations: when the process is killed there (nothing is lost), and when the
// power fails there (what was not synced may be lost).
//
// # What the model takes for granted
//
//   - An operation on names is atomic: a rename has happened or not, also one that
//     replaces a file or leads to another directory. Every journalling file system
//     of Linux has that.
//   - The removal of a directory is not kept without what emptied it before: no file
//     system removes a directory that has names in it.
//   - Nothing is moved into a directory that is not there: a rename that nobody
//     synced is not kept without the directory that it led to.
//   - An inode has its type, its mode of creation and its owner as soon as it has a
//     name.
//   - fsync of a file makes durable its content and metadata as they are then, not
//     its names. fsync of a directory makes durable the names in it and its own
//     metadata, not those of what is in it. A rename is durable when both
//     directories were synced after it. syncfs makes durable all of that device.
//   - A symbolic link, fifo or device node, which no program can sync, is durable as
//     it is when the directory is synced that it is in.
//   - What was durable once stays readable. Media that rot are another matter.
//
// # What it does not
//
// Whatever was not made durable in this way may be there or not, each change by
// itself, whatever came before or after it: an order holds only where a sync made
// it. A name can be there without the content, content can be missing, cut off,
// zero or garbage, an owner be the new one and the mode the old one. A directory
// whose own name was not synced takes with it what was synced in it. No file system of
// Linux is as bad as that at once: ext4 keeps its operations in order, btrfs and
// f2fs do not between files, XFS shows zeros.
package disktest
