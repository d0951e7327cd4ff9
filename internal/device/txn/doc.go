// Package txn carries a plan out on a device as one transaction: afterwards the
// device is as the plan wants it, or as it was before, never between.
//
// # How
//
// Prepare reads, decides everything and refuses what can be refused: it turns
// the plan into a list of operations on physical paths. Stage brings the new
// files into a work area, ".jamesc" in the topmost directory of each mount that
// is touched, verified, and syncs them. Then the whole list is written to the
// journal, and from here on the device changes: old files are renamed into the
// work area ("away"), new ones out of it ("place"), and scripts run in between.
// At last everything is synced, the commit record is written, the inventory
// replaced and the work area removed.
//
// # Contents
//
// What an installed file holds, of whatever packet and at whatever path, is copied
// from there and verified while it is read; one that is not what its manifest says
// is as good as none. All else is ordered from the Source, with one Order for the
// plan. What that has stored becomes a file of the work area by a hard link, where
// both are on one mount, and by a verified copy elsewhere.
//
// A linked file is one inode with two names until Forget. It is as safe as a copy:
// its content is synced through its name in the work area, with everything else,
// before the journal says "ready", so it does not matter whether the Source has
// synced anything, nor what a power cut makes of the Source's name. Mode, owner,
// time and attributes are set through the name in the work area, after those that
// an earlier try has left were taken away. Undoing moves the name back and removes it;
// the Source keeps its own. After the commit record the Source removes its name,
// which leaves the installed file alone; where a crash is faster, the name stays and
// the Source must not write to it: see there.
//
// # What always holds
//
// Before the commit record is durable, every way out leads back, but from
// probation; after it, forward. Undoing looks at what is there, not at how far
// anybody got: an old file that lies in the work area goes back to its path; a
// new file whose staged copy is gone goes back to the work area. So undoing can be
// cut off anywhere and begun again, by this process or the next, in whatever order
// the disk kept it.
// Undoing takes no room on the disk and needs no journal that can be written:
// what it puts back was made before anything changed, directories among it. Only
// a directory that a script has removed is made anew.
//
// Between the "away" of a path and the "place" of it everything is synced once,
// so that a power cut cannot keep the second and lose the first.
//
// A file of a packet that an administrator changed below a configuration
// directory is never overwritten and never removed, unless its app is purged; see
// config.go. What is at a path belongs to one packet; see claims.go.
//
// # Probation
//
// Where a plan brings a packet with a health check, or the caller wants to
// confirm the change, it is on probation between the last step and the commit
// record: a record says so, everything is durable, and only the checks are left.
// A device that stops there goes on with them at its next start; after three such
// stops the change is undone. A plan that has nothing to prove has no such record.
//
// # Scripts
//
// Every script has a mirror, which is what undoes it: preinst and postrm,
// postinst and prerm. While a step is undone, the mirror of each script that had
// begun runs with the argument "restore", at the mirrored moment:
//
//	script (argument)              mirror, with "restore"   at this moment of undoing
//	old prerm (upgrade, remove)    old postinst             its files are back
//	old postrm (upgrade, remove)   old preinst              before its files come back
//	new preinst (install, upgrade) new postrm               its files are gone
//	new postinst (install, upgrade) new prerm               before its files go
//
// A script that a packet has not counts as begun when its turn has come, so that
// a postrm without a preinst cleans up all the same. A mirror that fails is told
// in the report and stops nothing. docs/scripts.md says this to operators.
//
// The package knows no servers and no formats of archives or streams: it is handed
// a Source.
package txn
