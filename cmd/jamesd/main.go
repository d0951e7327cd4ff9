// Command jamesd is the server: it keeps packets and desired states, and tells
// devices what to install.
package main

import (
	"os"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/server"
)

func main() {
	os.Exit(server.Main(config.OS()))
}
