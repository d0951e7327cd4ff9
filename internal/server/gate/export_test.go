package gate

// Mute returns how many have said nothing yet.
func (g *Listener) Mute() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.silent.Len()
}
