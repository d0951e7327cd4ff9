package gate

// Mute returns how many have said nothing yet.
func (g *Listener) Mute() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.silent.Len()
}

// Awaited returns of how many clients something is waited for in their handshakes.
func (g *Listener) Awaited() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.silent.Len() + g.owing.Len()
}
