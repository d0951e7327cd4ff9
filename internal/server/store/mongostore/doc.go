// Package mongostore keeps metadata in a MongoDB database that several jamesd
// share.
//
// # What is asked of the database
//
// One thing is relied upon: of several inserts of one _id, one succeeds. Every
// server of the protocol has that, with a single mongod, a replica set or a
// sharded cluster behind it. Conditional updates are not used, nor are counters
// made with $inc: FerretDB reads, compares and writes them as three steps, and
// loses some when they meet.
//
// # Logs
//
// Everything is kept in logs: one of rows, one of last-seen times, one of
// events. A log is a collection of entries, each with one or more changes. The
// changes are numbered from 1 without gaps, and the _id of an entry is the number
// of its first change. So all who append at the same time insert the same _id;
// one succeeds, the others read what it wrote and try again on top of it. That
// makes every append a compare-and-set on all that came before: a row cannot
// have changed since it was read, and nothing becomes visible out of order. The
// sequence number of a row is the number of its last change.
//
// Each process keeps, in memory, what the log says (its replica) and before it
// answers reads the entries that have been added. When there are none, that is
// a look at one _id and at the floor.
//
// # The floor
//
// A log is trimmed from the beginning. The rows that are only in the oldest
// entries are appended anew, with their sequence number as it was; then a floor
// is set, the number up to which nothing counts any more; then the entries up to
// it are deleted. The floor is the highest of the log's documents in the
// collection floors, which are inserted and deleted, never changed.
//
// An entry that was deleted leaves its _id free, and a process that was asleep
// all the while might insert there what no longer fits. It cannot do harm: the
// floor was raised before the deletion, so whoever reads the floor after it has
// read, or written, an entry that should not be there, finds the floor above it.
// A reader then starts again from the floor, a writer reports a failure. So the
// order is always: entries first, floor second, and no clock is involved.
//
// Reads are from the primary with read concern majority, writes with write
// concern majority and journaled: what has been read or acknowledged survives a
// failover, and with it everything before it in the log.
package mongostore
