package txn

// tidy removes what a transaction has left in the state directory whose end was
// durable before its cleaning up was: making the one wait for the other would cost
// each transaction two fsyncs.
func (i *Installer) tidy() error {
	if err := i.state.RemoveAll(nextFile); err != nil {
		return err
	}
	names, err := i.state.ReadDir(runDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := i.state.RemoveAll(runDir + "/" + name); err != nil {
			return err
		}
	}
	return i.dropManifests()
}
