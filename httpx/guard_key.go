package httpx

import (
	"net/http"
	"net/netip"
	"strings"
)

// remoteKey is the default key of a client: its IP address; of an IPv6 address its /64. All
// spellings of an address have the same key.
func remoteKey(r *http.Request) string {
	if n := ipv4(r.RemoteAddr); n > 0 && len(r.RemoteAddr) > n && r.RemoteAddr[n] == ':' &&
		strings.IndexByte(r.RemoteAddr[n+1:], ':') < 0 {
		return r.RemoteAddr[:n]
	}
	var ip netip.Addr
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		ip = ap.Addr()
	} else if ip, err = netip.ParseAddr(r.RemoteAddr); err != nil {
		return r.RemoteAddr // a Unix socket's, or a text that a middleware has set
	}
	ip = ip.WithZone("").Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64)
	return network.String()
}

// ipv4 returns the length of the IPv4 address that s begins with, 0 if there is none. An IPv4
// address has only one spelling, so most requests need no more than this, which is cheaper than
// netip.ParseAddr.
func ipv4(s string) int {
	part, n := 0, -1 // n is the part's value; negative: no digit yet
	for i := 0; i < len(s); i++ {
		digit := int(s[i]) - '0'
		switch {
		case uint(digit) <= 9:
			if n == 0 {
				return 0
			}
			if n = 10*max(n, 0) + digit; n > 255 {
				return 0
			}
		case n < 0:
			return 0
		case part == 3:
			return i
		case s[i] != '.':
			return 0
		default:
			part, n = part+1, -1
		}
	}
	if part < 3 || n < 0 {
		return 0
	}
	return len(s)
}
