// Package budget measures what the programs promise of speed and size, each
// promise as a ratio within one run, and prints them as a table. docs/benchmarks.md
// says what each row is. It is a benchmark and nothing else: no test fails for
// being slow, and the product uses nothing of it.
package budget
