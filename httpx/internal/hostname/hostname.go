// Package hostname spells the hosts of URLs in one way.
package hostname

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Of returns u's host in its canonical spelling: lower case, in IDNA's ASCII form, without a
// trailing dot; an IP address as netip writes it; the port without leading zeros, and only if it is
// not the scheme's default. It is the same for two URLs that net/http sends to the same host and
// port.
func Of(u *url.URL) string {
	if u == nil {
		return ""
	}
	name, port := u.Hostname(), strings.TrimLeft(u.Port(), "0")
	name = Name(name)
	if strings.Contains(name, ":") {
		name = "[" + name + "]"
	}
	switch {
	case port == "", port == "80" && u.Scheme == "http", port == "443" && u.Scheme == "https":
		return name
	}
	return name + ":" + port
}

// Most is the longest name that IDNA's rules are applied to, in bytes. Punycode takes quadratic
// time, in net/http too, and no name in the DNS is longer.
const Most = 1 << 10

// Name returns the canonical spelling of a host without a port: see Of.
func Name(name string) string {
	if addr, ok := address(name); ok {
		return addr
	}
	for i := range min(len(name), Most) {
		if name[i] >= 0x80 && len(name) <= Most {
			name = ascii(name)
			break
		}
	}
	name = strings.ToLower(name)
	if addr, ok := address(strings.TrimRight(name, ".")); ok { // it was in fullwidth digits
		return addr
	}
	return strings.TrimRight(name, ".")
}

func address(name string) (string, bool) {
	if name == "" || name[0] > '9' && !strings.Contains(name, ":") { // surely not an IP address
		return "", false
	}
	addr, err := netip.ParseAddr(name)
	if err != nil {
		return "", false
	}
	return addr.Unmap().String(), true
}

// ascii asks net/http which name it would dial, because the standard library has IDNA's tables (UTS
// 46) but does not export them. A name that is not legal stays as it is.
func ascii(name string) string {
	dialled := errors.New("dialled")
	to := make(chan string, 1)
	dial := func(_ context.Context, _, addr string) (net.Conn, error) {
		to <- addr
		return nil, dialled
	}
	t := &http.Transport{DisableKeepAlives: true, DialContext: dial}
	_, err := t.RoundTrip( //nolint:bodyclose // the dial fails, so there is no response
		&http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "http", Host: name},
			Header: http.Header{}})
	if !errors.Is(err, dialled) {
		return name
	}
	host, _, err := net.SplitHostPort(<-to)
	if err != nil {
		return name
	}
	return host
}
