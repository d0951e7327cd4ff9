// Package supply makes what devices fetch of the contents of files: streams of
// them, and the patches that streams carry.
//
// A stream is made once for all who want the same, and kept in a cache; who asks
// while it is being made reads along. For a device that waits it is made quickly;
// what several devices are going to want is made again, in the background, as small
// as it gets. Patches are made in the background only: what is not ready when a
// device asks goes out whole.
//
// What always holds: every stream holds exactly the contents that its request
// wants, in their order, whatever is missing in the cache; no byte of a stream goes
// out under the ETag of another; nothing is made that takes more memory or time
// than the limits in this package; nothing is kept but in the cache, so what a
// Supply knows is found out again after a restart.
//
// The package does not know who asks: callers have checked that a device may have
// what it wants.
package supply
