package httpx

import (
	"net/http"
	"net/netip"
	"strings"
)

// remoteKey is the default key of a client: its IP address, of IPv6 the /64 that it is in. It says
// the same of an address in all its spellings.
func remoteKey(r *http.Request) string {
	var ip netip.Addr
	if ap, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
		if ip = ap.Addr(); ip.Is4() { // has one spelling: without an allocation
			return r.RemoteAddr[:strings.LastIndexByte(r.RemoteAddr, ':')]
		}
	} else if ip, err = netip.ParseAddr(r.RemoteAddr); err != nil {
		return r.RemoteAddr // of a Unix socket, or what a middleware has put there
	}
	ip = ip.WithZone("").Unmap()
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64)
	return network.String()
}
