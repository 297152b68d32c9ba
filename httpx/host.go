package httpx

import (
	"context"
	"net/url"
	"strings"
)

// Host returns the host that the request in ctx goes to, in lower case, with the port unless it is the scheme's own; empty
// outside of a request. It is a key for policies.Keyed: each redirect hop and each of the [Alternates] has its own.
func Host(ctx context.Context) string {
	x, _ := ctx.Value(hostKey{}).(*exchange)
	if x == nil {
		return ""
	}
	return hostOf(x.target)
}

type hostKey struct{}

func hostOf(u *url.URL) string {
	if u == nil {
		return ""
	}
	host, port := u.Hostname(), u.Port()
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	switch {
	case port == "", port == "80" && u.Scheme == "http", port == "443" && u.Scheme == "https":
		return host
	}
	return host + ":" + port
}
