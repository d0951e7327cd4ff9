// Package disk is where jamesc writes to the device's file systems, and the only
// place that does: the install root and the agent's own state directory.
//
// What always holds: a path is relative to the disk's directory and physical,
// that is, none of its directories is a symbolic link; an operation on one that
// is not fails and follows nothing, so no link leads out, not even one that
// appears between the check and the act. Resolve makes physical paths of others:
// it follows symbolic links as a process would whose root is the disk's
// directory. The last component is never followed.
//
// Every operation that changes something, and every fsync, passes one Hook,
// before and after, with a number: a test counts them, fails them, or ends the
// process at any of them.
//
// The package knows files and mounts; it knows nothing of packets, plans or
// journals.
package disk
