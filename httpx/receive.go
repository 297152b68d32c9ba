package httpx

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// receive takes what the response says, and judges it.
func (x *exchange) receive(ctx context.Context, req *http.Request, resp *http.Response) (*http.Response, error) {
	if x.jar != nil {
		if cookies := resp.Cookies(); len(cookies) > 0 {
			x.jar.SetCookies(req.URL, cookies)
		}
	}
	if saysQuota(resp.Header) {
		if q, ok := parseQuota(resp.Header, time.Now()); ok && x.polite.yields(x.target, q) {
			retry.Report(ctx, q)
		}
	}
	if location := resp.Header.Get("Location"); location != "" && req.URL != x.req.URL {
		if u, err := req.URL.Parse(location); err == nil { // http.Client would resolve it against the original request
			resp.Header.Set("Location", u.String())
		}
	}
	if x.call != nil { // before the predicates: they read what the decoder reads
		if err := decodeBody(resp, x.call.maxBody, x.call.decoders); err != nil && resp.StatusCode/100 == 2 {
			_ = resp.Body.Close()
			return nil, err
		}
	} else if x.unpacks {
		gunzip(resp)
	}
	if x.call == nil && x.maxBytes > 0 && resp.StatusCode != http.StatusSwitchingProtocols && resp.Body != http.NoBody {
		resp.Body = http.MaxBytesReader(nil, resp.Body, x.maxBytes)
	}
	if (x.transient != nil || x.refused != nil) && resp.StatusCode != http.StatusSwitchingProtocols {
		b := &rewinder{from: resp.Body}
		resp.Body = b
		judged := false
		defer func() {
			if !judged { // a predicate panicked
				_ = b.from.Close()
			}
		}()
		err := x.judge(req, resp)
		judged = true
		resp.Body = b.restored()
		return x.outcome(req, resp, err)
	}
	return x.outcome(req, resp, x.judge(req, resp))
}

func (x *exchange) outcome(req *http.Request, resp *http.Response, err error) (*http.Response, error) {
	if err == nil && x.call != nil && resp.StatusCode/100 == 2 {
		return x.decode(req, resp)
	}
	if err != nil {
		x.status.Body = prefetch(resp)
	}
	x.held = resp // a success too: the policies may still make something else of it
	return resp, err
}

// saysQuota is asked of every response: nearly none has such a field, and looking each of them up costs more than this.
func saysQuota(h http.Header) bool {
	for key := range h {
		if strings.HasPrefix(key, "Ratelimit") || strings.HasPrefix(key, "X-Rate") {
			return true
		}
	}
	return false
}
