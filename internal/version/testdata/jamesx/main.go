// Command jamesx prints its version, for the test of the linker flag.
package main

import (
	"os"

	"github.com/trusch/jamesd/internal/version"
)

func main() { version.Print(os.Stdout, "jamesx") }
