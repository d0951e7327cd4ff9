// Package server is the Main of jamesd: it reads the settings, builds the store,
// the fleet, the API and the listener for operators, runs them, and ends them in
// the right order.
//
// It is the only place where implementations are chosen and where an error
// becomes an exit code. It decides nothing about packets and devices.
package server
