package main

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// builtin are the links of the embedded server: three pages, and two that are not there.
var builtin = []string{"/", "/about", "/contact", "/missing", "/gone"}

const latency = 30 * time.Millisecond

// serve answers the built-in links on the loopback interface.
func serve() (base string, stop func(), err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, fmt.Errorf("starting the embedded server: %w", err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(page), ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(ln) }()
	return "http://" + ln.Addr().String(), func() { _ = srv.Close() }, nil
}

func page(w http.ResponseWriter, r *http.Request) {
	time.Sleep(latency)
	switch r.URL.Path {
	case "/", "/about", "/contact":
		fmt.Fprintf(w, "this is %s\n", r.URL.Path)
	default:
		http.NotFound(w, r)
	}
}
