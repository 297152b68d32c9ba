package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
)

// requesting makes a send of what takes a request.
func requesting(do func(*http.Request) (*http.Response, error)) send {
	return func(ctx context.Context, method, url string, body []byte) (*http.Response, error) {
		var r io.Reader
		if body != nil {
			r = bytes.NewReader(body)
		}
		req, err := http.NewRequestWithContext(ctx, method, url, r)
		if err != nil {
			return nil, err
		}
		return do(req)
	}
}

var kilobyte = strings.Repeat("x", 1024)

// loopback serves a kilobyte on this machine: at /200 at once, at /503 every second time.
func loopback() (url string, stop func(), err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	var turn atomic.Int64
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/503" && turn.Add(1)%2 == 1 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, kilobyte)
	})}
	go func() { _ = s.Serve(l) }()
	return "http://" + l.Addr().String(), func() { _ = s.Close() }, nil
}

// fetch gets the kilobyte, and nothing but a 200.
func fetch(ctx context.Context, s send, url string) error {
	resp, err := s(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	n, err := io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK || n != int64(len(kilobyte)) {
		return fmt.Errorf("status %d, %d bytes: %w", resp.StatusCode, n, err)
	}
	return err
}
