// Package api is the HTTPS API of jamesd: a table of routes, and behind each a
// handler that turns a request into one call of package fleet and its result
// into an answer.
//
// What always holds: who calls is known from the verified certificate of the
// connection and from nothing else; every row of the table says who may call
// it, and nothing is done before that was checked; what a client sends is
// bounded in size and in time; every answer that is not a success is problem
// details (RFC 9457) with a kind of package james.
//
// The package decides nothing about packets, devices and states, and knows no
// store. It speaks HTTP/1.1 only: a poll that is held on a connection of its
// own costs one goroutine and two small buffers, on HTTP/2 it costs the frame
// buffers, the flow control and the header tables of the connection as well,
// and a device has nothing to send beside it.
package api
