package api

import (
	"crypto/tls"
	"log"
	"net/http"
	"time"

	"github.com/sirupsen/logrus"
)

// Limits of connections. Bodies have theirs in Options.Stall.
const (
	headerTimeout = 10 * time.Second // for the header of a request, and a brief body
	idleTimeout   = 3 * time.Minute  // between two requests; agents poll more often than that
	maxHeader     = 16 << 10         // bytes of a request's header
)

// NewServer returns a server for the handler of Handler: HTTP/1.1 over TLS as
// conf says, which must demand and verify client certificates. It is to be
// started with Serve. Its log lines go to l.
func NewServer(h http.Handler, conf *tls.Config, l logrus.FieldLogger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           h,
		TLSConfig:         conf,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout, // longer bodies set their own
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		// "OPTIONS *" is no exception from having to be somebody.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(serverLog{l}, "", 0),
	}
}
