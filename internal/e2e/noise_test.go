package e2e_test

import (
	"io"
	"math/rand/v2"
)

// newNoise returns endless bytes that do not compress, the same for one seed.
func newNoise(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }
