package httpx

import (
	"net/http"
	"net/netip"
	"strings"
)

// remoteKey is the default key of a client: its IP address; of an IPv6 address its /64. All
// spellings of an address have the same key.
func remoteKey(r *http.Request) string {
	if i := strings.LastIndexByte(r.RemoteAddr, ':'); i > 0 && isIPv4(r.RemoteAddr[:i]) {
		return r.RemoteAddr[:i]
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

// isIPv4 reports whether s is an IPv4 address. An IPv4 address has only one spelling, so most
// requests need no more than this check, which is cheaper than netip.ParseAddr.
func isIPv4(s string) bool {
	dots, digits, n := 0, 0, 0
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' && digits > 0 && dots < 3:
			dots, digits, n = dots+1, 0, 0
		case '0' <= c && c <= '9' && (digits == 0 || n > 0):
			if digits, n = digits+1, 10*n+int(c-'0'); n > 255 {
				return false
			}
		default:
			return false
		}
	}
	return dots == 3 && digits > 0
}
