// Command jamesd-ctl is the admin's command line of jamesd.
package main

import (
	"os"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/ctl"
)

func main() {
	os.Exit(ctl.Main(config.OS()))
}
