package device

// Execute is Main with a context in place of the process's signals.
var Execute = execute
