package httpx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"weak"

	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// The reasons of PublicOnly and NoDowngrade, in a [*retry.Rejection]: no loop retries it, no
// breaker counts it.
var (
	ErrPrivateAddress = errors.New("not a public address")
	ErrDowngrade      = errors.New("redirect from https to http")
)

// notPublic are the special-purpose blocks that are not globally reachable: the IANA registries of
// RFC 6890 (as amended by RFC 8190), and what may be tunnelled elsewhere. netip's IsPrivate and its
// siblings know half of them.
var notPublic = prefixes(
	"0.0.0.0/8",       // this network, RFC 791
	"10.0.0.0/8",      // private, RFC 1918
	"100.64.0.0/10",   // carrier-grade NAT, RFC 6598
	"127.0.0.0/8",     // loopback, RFC 1122
	"169.254.0.0/16",  // link-local, RFC 3927: also the clouds' metadata services
	"172.16.0.0/12",   // private, RFC 1918
	"192.0.0.0/24",    // protocol assignments, RFC 6890
	"192.0.2.0/24",    // documentation, RFC 5737
	"192.88.99.0/24",  // 6to4 relays, RFC 7526
	"192.168.0.0/16",  // private, RFC 1918
	"198.18.0.0/15",   // benchmarks, RFC 2544
	"198.51.100.0/24", // documentation, RFC 5737
	"203.0.113.0/24",  // documentation, RFC 5737
	"224.0.0.0/4",     // multicast, RFC 5771
	"240.0.0.0/4",     // reserved, RFC 1112, and broadcast, RFC 919
	"2001::/23",       // protocol assignments, RFC 2928: Teredo, ORCHID, benchmarks
	"2001:db8::/32",   // documentation, RFC 3849
	"2002::/16",       // 6to4, RFC 3056: carries any IPv4 address
	"3fff::/20",       // documentation, RFC 9637
)

// Of IPv6 only this block is unicast that is routed globally (RFC 4291): loopback, unique local
// (RFC 4193), link-local, site-local, multicast, the local NAT64 block 64:ff9b:1::/48 (RFC 8215)
// and what is yet to be assigned are all outside.
var (
	globalUnicast = netip.MustParsePrefix("2000::/3")
	nat64         = netip.MustParsePrefix("64:ff9b::/96") // RFC 6052
)

func prefixes(texts ...string) (ps []netip.Prefix) {
	for _, text := range texts {
		ps = append(ps, netip.MustParsePrefix(text))
	}
	return ps
}

// isPublic judges an IPv4 address that is embedded in an IPv6 one (mapped, or behind NAT64) by what
// it leads to.
func isPublic(a netip.Addr) bool {
	if !a.IsValid() || a.Zone() != "" {
		return false
	}
	if a = a.Unmap(); nat64.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	return (a.Is4() || globalUnicast.Contains(a)) &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}

// PublicControl is a net.Dialer's ControlContext that refuses every address that is not public. It
// sees the address that is really dialled, after resolving, so a name whose address changes between
// check and use (DNS rebinding) gains nothing.
func PublicControl(_ context.Context, network, address string, _ syscall.RawConn) error {
	known := strings.HasPrefix(network, "tcp") || strings.HasPrefix(network, "udp")
	if _, _, err := net.SplitHostPort(address); err != nil || !known {
		return refusePrivate(network + " " + address)
	}
	if ap, err := netip.ParseAddrPort(address); err != nil || !isPublic(ap.Addr()) {
		return refusePrivate(address)
	}
	return nil
}

func refusePrivate(address string) error {
	return answered(&retry.Rejection{Policy: "httpx.PublicOnly", Reason: fmt.Errorf("%w: %s", ErrPrivateAddress, address)})
}

// pools are the public-only transports that were made, by their base.
var pools struct {
	sync.Mutex
	of map[weak.Pointer[http.Transport]]*http.Transport
}

// publicOnly returns the transport over base that connects to public addresses only. There is one
// for each base, so that clients derived from another, and requests with the option, share its
// connections.
func publicOnly(base http.RoundTripper) (*http.Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	t, ok := base.(*http.Transport)
	if !ok || t == nil {
		return nil, retry.ConfigErrorf(publicName, "needs an *http.Transport to watch, not %T", base)
	}
	key := weak.Make(t)
	pools.Lock()
	defer pools.Unlock()
	if made := pools.of[key]; made != nil {
		return made, nil
	}
	made, err := makePublic(t)
	if err != nil {
		return nil, err
	}
	if pools.of == nil {
		pools.of = make(map[weak.Pointer[http.Transport]]*http.Transport)
	}
	pools.of[key] = made
	runtime.AddCleanup(t, func(key weak.Pointer[http.Transport]) {
		pools.Lock()
		defer pools.Unlock()
		pools.of[key].CloseIdleConnections()
		delete(pools.of, key)
	}, key)
	return made, nil
}

const publicName = "httpx.PublicOnly"

// makePublic returns a clone of base whose connections go to public addresses only: requests,
// redirects and retries alike. A transport that cannot be watched, one with Dial, DialTLS or
// DialTLSContext, is a configuration error. So is a proxy: it would resolve and dial, out of reach
// of the check. One that is named by the environment, or for some requests only, fails those
// requests.
//
// A DialContext of the caller's stays in use: names are resolved here, each address is checked and
// handed to it as a literal, one after the other, and where it really connected to is checked
// again.
func makePublic(t *http.Transport) (*http.Transport, error) {
	standard := t == http.DefaultTransport
	//nolint:staticcheck // deprecated, but obeyed by net/http
	if t.Dial != nil || t.DialTLS != nil || t.DialTLSContext != nil {
		return nil, retry.ConfigErrorf(publicName, "cannot watch a transport with its own Dial, DialTLS or DialTLSContext")
	}
	t = t.Clone()
	switch dial := t.DialContext; {
	case standard:
		const half = 30 * time.Second // as http.DefaultTransport's
		t.DialContext = (&net.Dialer{Timeout: half, KeepAlive: half, ControlContext: PublicControl}).DialContext
	case dial == nil:
		// net/http speaks HTTP/2 by itself only where neither dialling nor TLS is the caller's.
		if t.TLSClientConfig == nil || slices.Contains(t.TLSClientConfig.NextProtos, "h2") {
			t.ForceAttemptHTTP2 = true
		}
		t.DialContext = (&net.Dialer{ControlContext: PublicControl}).DialContext
	default:
		t.DialContext = dialPublic(dial)
	}
	return t, withoutProxy(t)
}

// withoutProxy has t refuse what it would send through a proxy. If that is everything, it says so.
func withoutProxy(t *http.Transport) error {
	proxy := t.Proxy
	if proxy == nil {
		return nil
	}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if err == nil && u != nil {
			err = retry.ConfigErrorf(publicName, "the proxy %s would dial, out of reach of the check", u.Host)
		}
		return nil, err
	}
	if reflect.ValueOf(proxy).Pointer() == reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		return nil // the environment may except hosts
	}
	somewhere := &url.URL{Scheme: "https", Host: "example.com", Path: "/"}
	r := &http.Request{Method: http.MethodGet, URL: somewhere, Host: somewhere.Host, Header: http.Header{}}
	if _, err := t.Proxy(r); errors.Is(err, retry.ErrConfig) {
		return err
	}
	return nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialPublic has dial connect to checked addresses. All of a name's addresses must be public: one
// that also leads inside is not an accident.
func dialPublic(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			if !isPublic(a) {
				return nil, refusePrivate(net.JoinHostPort(a.Unmap().String(), port))
			}
		}
		var errs []error
		for _, a := range addrs {
			conn, err := dial(ctx, network, net.JoinHostPort(a.Unmap().String(), port))
			if err != nil {
				errs = append(errs, err)
				continue
			}
			remote := conn.RemoteAddr()
			if err := PublicControl(ctx, remote.Network(), remote.String(), nil); err != nil {
				_ = conn.Close()
				return nil, err
			}
			return conn, nil
		}
		return nil, errors.Join(errs...)
	}
}

func downgrade(u *url.URL) error {
	return answered(&retry.Rejection{Policy: "httpx.NoDowngrade", Reason: fmt.Errorf("%w: %s", ErrDowngrade, redact.URL(u))})
}

// noDowngrade is a CheckRedirect that refuses to leave https for http and otherwise asks next, or
// net/http's rule of ten.
func noDowngrade(
	next func(*http.Request, []*http.Request) error,
) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		secure := len(via) > 0 && via[len(via)-1].URL.Scheme == "https"
		// an alternate, or a hook, may have sent it elsewhere
		if from := r.Response; from != nil && from.Request != nil {
			secure = secure || from.Request.URL.Scheme == "https"
		}
		if secure && r.URL.Scheme != "https" {
			return downgrade(r.URL)
		}
		if next != nil {
			return next(r, via)
		}
		if len(via) >= 10 {
			return errors.New("stopped after 10 redirects")
		}
		return nil
	}
}
