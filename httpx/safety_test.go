package httpx

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"testing"

	"github.com/reprise-go/reprise/retry"
)

func TestOnlyPublicAddressesArePublic(t *testing.T) {
	public := []string{
		"8.8.8.8", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0",
		"2606:4700::1111", "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
	}
	for _, text := range public {
		if !isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is not public", text)
		}
	}
	private := []string{
		"0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.127.255.255", "127.0.0.1",
		"127.9.9.9", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8",
		"192.168.1.1", "198.18.0.1", "203.0.113.7", "224.0.0.1", "240.0.0.1", "255.255.255.255",
		"::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1",
		"fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd12::1", "ff02::1",
		"64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b:1::808:808",
		"2001:db8::1", "2001::1", "2002:7f00:1::", "100::1", "2606:4700::1%eth0",
	}
	for _, text := range private {
		if isPublic(netip.MustParseAddr(text)) {
			t.Errorf("%s is public", text)
		}
	}
	if isPublic(netip.Addr{}) {
		t.Error("the zero address")
	}
}

// counting serves and counts the connections that were made to it.
func counting(t *testing.T) (*httptest.Server, *int) {
	n := 0
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			n++
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s, &n
}

func mustRefuse(t *testing.T, err error, what error) {
	t.Helper()
	r, ok := retry.Rejected(err)
	if !errors.Is(err, what) || !ok || r.RetryAfter != 0 {
		t.Errorf("not refused for good: %v", err)
	}
}

func TestPrivateAddressIsRefusedBeforeItIsConnectedTo(t *testing.T) {
	server, conns := counting(t)
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	custom := &http.Transport{DialContext: (&net.Dialer{}).DialContext}
	for name, base := range map[string]http.RoundTripper{"default": nil, "zero": &http.Transport{},
		"own dialer": custom} {
		transport, err := publicOnly(base)
		if err != nil {
			t.Fatal(err)
		}
		transport.Proxy = nil
		// a name is judged by what it resolves to
		for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]"} {
			_, err := (&http.Client{Transport: transport}).Get("http://" + host + ":" + port)
			if err == nil {
				t.Fatal(name, host, "was let through")
			}
			mustRefuse(t, err, ErrPrivateAddress)
		}
	}
	if server.Close(); *conns != 0 {
		t.Error(*conns, "connections were made")
	}
}

func TestDialerThatGoesAstrayIsRefused(t *testing.T) {
	server, _ := counting(t)
	base := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
		}}
	transport, err := publicOnly(base)
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&http.Client{Transport: transport}).Get("http://8.8.8.8/")
	mustRefuse(t, err, ErrPrivateAddress)
}

type foreign struct{ http.RoundTripper }

func TestTransportThatCannotBeWatchedIsAConfigurationError(t *testing.T) {
	dial := func(string, string) (net.Conn, error) { return nil, errBoom }
	for name, base := range map[string]http.RoundTripper{
		"foreign": foreign{},
		"nil":     (*http.Transport)(nil),
		"Dial":    &http.Transport{Dial: dial},
		"DialTLS": &http.Transport{DialTLS: dial},
	} {
		if tr, err := publicOnly(base); !errors.Is(err, retry.ErrConfig) || tr != nil {
			t.Error(name, err)
		}
	}
	fixed := http.ProxyURL(&url.URL{Scheme: "http", Host: "127.0.0.1:1"})
	if tr, err := publicOnly(&http.Transport{Proxy: fixed}); !errors.Is(err, retry.ErrConfig) ||
		tr != nil {
		t.Error("a proxy for all:", err)
	}
	// whatever it says by now
	if _, err := publicOnly(&http.Transport{Proxy: http.ProxyFromEnvironment}); err != nil {
		t.Error("the environment's:", err)
	}
	transport, err := publicOnly(&http.Transport{Proxy: func(r *http.Request) (*url.URL, error) {
		if r.URL.Host == "8.8.8.8" {
			return fixed(r)
		}
		return nil, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = (&http.Client{Transport: transport}).Get("http://8.8.8.8/")
	if !errors.Is(err, retry.ErrConfig) {
		t.Error("proxy:", err)
	}
}

func TestCallersTransportStaysAsItWas(t *testing.T) {
	base := &http.Transport{}
	transport, err := publicOnly(base)
	if err != nil || transport == base || base.DialContext != nil || !transport.ForceAttemptHTTP2 {
		t.Error("changed, or HTTP/2 lost:", err)
	}
}

func TestRedirectMustNotLeaveHTTPS(t *testing.T) {
	plain, conns := counting(t)
	secure := httptest.NewTLSServer(http.RedirectHandler(plain.URL+"/?token=SECRET",
		http.StatusFound))
	defer secure.Close()
	client := secure.Client()
	client.CheckRedirect = noDowngrade(client.CheckRedirect)
	resp, err := client.Get(secure.URL)
	if resp != nil {
		_ = resp.Body.Close()
	}
	mustRefuse(t, err, ErrDowngrade)
	if plain.Close(); *conns != 0 {
		t.Error("http was asked")
	}
	asked := false
	check := noDowngrade(func(*http.Request, []*http.Request) error {
		asked = true
		return errBoom
	})
	up, _ := http.NewRequest(http.MethodGet, "https://h/", nil)
	down, _ := http.NewRequest(http.MethodGet, "http://h/", nil)
	if err := check(up, []*http.Request{down}); err != errBoom || !asked {
		t.Error("the caller's own rule was not asked")
	}
	if noDowngrade(nil)(up, []*http.Request{up}) != nil || noDowngrade(nil)(up, make10(up)) == nil {
		t.Error("net/http's rule is lost")
	}
}

func make10(r *http.Request) (rs []*http.Request) {
	for range 10 {
		rs = append(rs, r)
	}
	return rs
}

// No option takes a guard off, and none makes connections of its own: there is one public-only pool
// for each base.
func TestGuardsSurviveEveryOtherOption(t *testing.T) {
	server, conns := counting(t)
	other := &http.Client{Transport: &http.Transport{}}
	guarded := New(PublicOnly(), NoDowngrade(), WithPolicy(retry.Chain()))
	for name, c := range map[string]*Client{
		"With(WithClient)": guarded.With(WithClient(other)),
		"WithClient first": New(WithClient(other), PublicOnly()),
		"twice": guarded.With(WithClient(other)).With(
			WithClient(&http.Client{Transport: &http.Transport{}})),
		"With(Header)":            guarded.With(Header("A", "b")),
		"WithClient after Polite": guarded.With(Polite("bot"), WithClient(other)),
		"Alternates":              guarded.With(Alternates(server.URL)),
		"a hook that goes inside": guarded.With(EachAttempt(func(_ int, r *http.Request) error {
			r.URL.Host = server.Listener.Addr().String()
			return nil
		})),
		"PublicOnly for a request": New(WithClient(other)).With(PublicOnly()),
	} {
		_, err := c.Get(t.Context(), server.URL)
		mustRefuse(t, err, ErrPrivateAddress)
		if name != "WithClient first" && name != "PublicOnly for a request" &&
			c.hc.CheckRedirect == nil {
			t.Errorf("%s: NoDowngrade is off", name)
		}
	}
	if server.Close(); *conns != 0 {
		t.Error(*conns, "connections were made")
	}
	err := guarded.With(WithClient(&http.Client{Transport: foreign{}})).Validate()
	if !errors.Is(err, retry.ErrConfig) {
		t.Error("a transport that cannot be watched:", err)
	}
}

func TestThereIsOnePublicPoolForEachTransport(t *testing.T) {
	base := &http.Transport{}
	client := New(WithClient(&http.Client{Transport: base}))
	one := client.With(PublicOnly()).hop.base
	for name, c := range map[string]*Client{
		"again":   client.With(PublicOnly()),
		"derived": client.With(PublicOnly()).With(Header("A", "b")),
		"another": New(PublicOnly()).With(WithClient(&http.Client{Transport: base})),
	} {
		if c.hop.base != one {
			t.Errorf("%s: a pool of its own", name)
		}
	}
	if New(PublicOnly()).hop.base != New(PublicOnly()).hop.base {
		t.Error("http.DefaultTransport has two")
	}
}

func TestAnAlternateOrAHookDoesNotDowngrade(t *testing.T) {
	sent := 0
	rt := roundTrip(func(r *http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: 200, Body: http.NoBody, Header: http.Header{},
			Request: r}, nil
	})
	c := New(WithClient(&http.Client{Transport: rt}), WithPolicy(retry.Chain()))
	down := EachAttempt(func(_ int, r *http.Request) error { r.URL.Scheme = "http"; return nil })
	for name, opt := range map[string]Option{"alternate": Alternates("http://h/"), "hook": down} {
		_, err := c.With(NoDowngrade()).Get(t.Context(), "https://h/", opt)
		mustRefuse(t, err, ErrDowngrade)
		if sent > 0 {
			t.Errorf("%s: sent", name)
		}
		if _, err := c.Get(t.Context(), "https://h/", opt); err != nil || sent != 1 {
			t.Errorf("%s, without the option: %v", name, err)
		}
		sent = 0
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
