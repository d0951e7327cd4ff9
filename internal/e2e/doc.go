// Package e2e holds the tests that drive the real binaries as a user would: one
// script per feature in testdata/script, run on the embedded store and on
// MongoDB, and the test of the directions in which packages may import each
// other. It has no code of its own that the product uses.
package e2e
