package httpx

import (
	"net/netip"
	"strings"
	"testing"
)

func FuzzIPv4(f *testing.F) {
	for _, s := range strings.Fields(
		"1.2.3.4 0.0.0.0 255.255.255.255 256.1.1.1 1.2.3.04 1.2.3.00 01.2.3.4 " +
			"1.2.3 1.2.3.4.5 1..3.4 " +
			".1.2.3 1.2.3. a.b.c.d 1.2.3.4x 1.2.3.-4 1.2.3.4567 " +
			"99999999999999999999.1.1.1 :: 1.2.3.4%e") {
		f.Add(s)
	}
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		ip, err := netip.ParseAddr(s)
		if got, want := len(s) > 0 && ipv4(s) == len(s), err == nil && ip.Is4(); got != want {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	})
}
