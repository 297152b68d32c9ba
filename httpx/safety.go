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

// PublicOnly and NoDowngrade reject with a [*retry.Rejection] that has one of these as its Reason.
// No loop retries it, no breaker counts it.
var (
	ErrPrivateAddress = errors.New("not a public address")
	ErrDowngrade      = errors.New("redirect from https to http")
)

// notPublic are the special-purpose blocks that are not globally reachable, by the IANA registries
// of RFC 6890 (as amended by RFC 8190), and those whose packets may be tunnelled to another
// network. netip's IsPrivate and similar methods cover only half of them.
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

// globalUnicast is the only IPv6 block of globally routed unicast addresses (RFC 4291). Loopback,
// unique local (RFC 4193), link-local, site-local, multicast, the local NAT64 block 64:ff9b:1::/48
// (RFC 8215) and all blocks not assigned yet are outside it.
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

// isPublic tells whether a is a public address. For an IPv6 address that stands for an IPv4 one
// (mapped, or by NAT64) the IPv4 address decides.
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
// sees the resolved address that is dialled, so a name whose address changes between check and use
// (DNS rebinding) does not get past it.
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
	reason := fmt.Errorf("%w: %s", ErrPrivateAddress, address)
	return answered(&retry.Rejection{Policy: publicName, Reason: reason})
}

// pools holds the public-only transports that were made, by their base.
var pools struct {
	sync.Mutex
	of map[weak.Pointer[http.Transport]]*http.Transport
}

// publicOnly returns the transport over base that connects to public addresses only. There is one
// for each base, so derived clients and single requests with the option share its connections.
func publicOnly(base http.RoundTripper) (*http.Transport, error) {
	if base == nil {
		base = http.DefaultTransport
	}
	t, ok := base.(*http.Transport)
	if !ok || t == nil {
		return nil, retry.ConfigErrorf(publicName,
			"needs an *http.Transport to watch, not %T", base)
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
// redirects and retries alike. A transport with Dial, DialTLS or DialTLSContext cannot be watched
// and is a configuration error. So is a proxy, because the proxy would resolve and dial, out of
// reach of the check. If the proxy comes from the environment, or is used for some requests only,
// those requests fail.
//
// The caller's DialContext stays in use: names are resolved here, each address is checked and given
// to it as a literal, one after the other, and the address it has connected to is checked again.
func makePublic(t *http.Transport) (*http.Transport, error) {
	standard := t == http.DefaultTransport
	//nolint:staticcheck // deprecated, but obeyed by net/http
	if t.Dial != nil || t.DialTLS != nil || t.DialTLSContext != nil {
		return nil, retry.ConfigErrorf(publicName,
			"cannot watch a transport with its own Dial, DialTLS or DialTLSContext")
	}
	t = t.Clone()
	dialer := &net.Dialer{ControlContext: PublicControl}
	switch dial := t.DialContext; {
	case standard:
		dialer.Timeout, dialer.KeepAlive = 30*time.Second, 30*time.Second // as there
		t.DialContext = dialer.DialContext
	case dial == nil:
		// net/http tries HTTP/2 by itself only if the caller sets neither dialling nor TLS
		if t.TLSClientConfig == nil || slices.Contains(t.TLSClientConfig.NextProtos, "h2") {
			t.ForceAttemptHTTP2 = true
		}
		t.DialContext = dialer.DialContext
	default:
		t.DialContext = dialPublic(dial)
	}
	return t, withoutProxy(t)
}

// withoutProxy makes t fail every request that it would send through a proxy. It returns an error
// if that is every request.
func withoutProxy(t *http.Transport) error {
	proxy := t.Proxy
	if proxy == nil {
		return nil
	}
	t.Proxy = func(r *http.Request) (*url.URL, error) {
		u, err := proxy(r)
		if err == nil && u != nil {
			err = retry.ConfigErrorf(publicName,
				"the proxy %s would dial, out of reach of the check", u.Host)
		}
		return nil, err
	}
	if reflect.ValueOf(proxy).Pointer() == reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		return nil // the environment may except hosts
	}
	somewhere := &url.URL{Scheme: "https", Host: "example.com", Path: "/"}
	r := &http.Request{
		Method: http.MethodGet, URL: somewhere, Host: somewhere.Host, Header: http.Header{},
	}
	if _, err := t.Proxy(r); errors.Is(err, retry.ErrConfig) {
		return err
	}
	return nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

// dialPublic makes dial connect to checked addresses only. All addresses of a name must be public:
// a name that also leads inside is not an accident.
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
	reason := fmt.Errorf("%w: %s", ErrDowngrade, redact.URL(u))
	return answered(&retry.Rejection{Policy: "httpx.NoDowngrade", Reason: reason})
}

// noDowngrade is a CheckRedirect that refuses redirects from https to http. Otherwise it asks next;
// if next is nil it stops after ten redirects, as net/http does.
func noDowngrade(
	next func(*http.Request, []*http.Request) error,
) func(*http.Request, []*http.Request) error {
	return func(r *http.Request, via []*http.Request) error {
		secure := len(via) > 0 && via[len(via)-1].URL.Scheme == "https"
		// an alternate or a hook may have sent the last request to another URL
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
