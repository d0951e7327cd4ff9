// Command jamesc is the agent of jamesd: it runs on a device and makes it what
// its desired state on the server says.
package main

import (
	"os"

	"github.com/trusch/jamesd/internal/config"
	"github.com/trusch/jamesd/internal/device"
)

func main() { os.Exit(device.Main(config.OS())) }
