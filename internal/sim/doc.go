// Package sim is the program jamesd-sim: a fleet of simulated devices that call a
// real jamesd over real mutual TLS, and a table of how long that took.
//
// A simulated device does on the wire what jamesc does, from the first handshake to
// the poll that says what is installed now, and nothing on a disk: what it downloads
// is counted and thrown away. It has jamesc's back-off, resumes TLS sessions as that
// does, and a poll that is held blocks it as it blocks that. Some can be made to fail,
// to read slowly, or to behave as no jamesc does; what those get is counted apart from
// what the others do.
//
// The package knows the server by its API only, and imports nothing of either side.
package sim
