package server

// ballast is how much more may become garbage before it is collected than what is in
// use, in bytes. Go lets that be as much as is in use, which of 10,000 devices is 25 MB:
// their polls make that in half a second, and a tenth of the time was spent on looking at
// what had stayed.
const ballast = 48 << 20

// newBallast returns memory that is to be kept and never written to: the system gives
// none for it, and the collector counts it. There is none where the environment says how
// to collect.
func newBallast(getenv func(string) string) []byte {
	if getenv("GOGC") != "" || getenv("GOMEMLIMIT") != "" {
		return nil
	}
	return make([]byte, ballast)
}
