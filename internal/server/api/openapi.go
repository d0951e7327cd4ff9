package api

import (
	_ "embed"

	"github.com/trusch/jamesd/internal/server/fleet"
)

// Description is the API as an OpenAPI 3.1 document, in YAML.
//
//go:embed openapi.yaml
var Description []byte

func getDescription(c *call, _ *fleet.Fleet) error {
	c.Header().Set("Content-Type", "application/yaml")
	_, err := c.Write(Description)
	return err
}
