// Package wire calls the API of a jamesd as one device of many: HTTP/1.1 over TLS
// with a few kilobytes of memory for each connection and little work for each
// request, so that what is measured is the server.
//
// It reads what jamesd writes and no more of HTTP than that; whoever wants a client
// takes package client. What it reads is bounded: a line of a header has 1 KiB, a
// header 64 lines. It knows no device and no plan.
package wire
