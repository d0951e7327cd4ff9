// Command jamesd-sim is a fleet of simulated devices, to measure a jamesd with.
package main

import (
	"os"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/sim"
)

func main() {
	os.Exit(sim.Main(config.OS()))
}
