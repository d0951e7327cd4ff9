// Package timed tells how long the calls of a store take: a store.Store and a
// blob.Store that do what the ones below them do, and say of each call when it has
// ended. What is read from a blob afterwards, and written before its commit, is not
// a call.
package timed

import "time"

// Call is a call that has ended.
type Call struct {
	Operation string // as it is called in package store or blob, such as "update" or "commit"
	Took      time.Duration
	Err       error
}

// Observe is told of every call. It must be quick, and safe for concurrent use.
type Observe func(Call)

// since is to be deferred: it tells of a call that began at start and fails with what
// err then holds.
func (o Observe) since(operation string, start time.Time, err *error) {
	o(Call{operation, time.Since(start), *err})
}
