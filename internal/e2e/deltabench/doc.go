// Package deltabench measures what an upgrade of real packages costs on the wire, to
// make and to apply, against the tools that people use for that, and prints it as a
// table. docs/benchmarks.md says what each column is. It is a benchmark and nothing
// else: no test fails for a figure, and the product uses nothing of it.
package deltabench
