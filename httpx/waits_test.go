package httpx_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
)

// How long a call waits that is answered once by a status with a Retry-After field; the own back-off is 7 s.
func TestRetryAfterAndTheOwnBackOff(t *testing.T) {
	const own, no = 7 * time.Second, -1
	for _, c := range []struct {
		method string
		code   int
		field  string
		wait   time.Duration
	}{
		{"POST", 413, "", no}, // too large for good
		{"POST", 413, "0", own},
		{"POST", 413, "9", 9 * time.Second},
		{"POST", 413, "3", own},
		{"POST", 413, "Sat, 01 Jan 2000 00:00:11 GMT", 11 * time.Second},
		{"POST", 413, "Sat, 01 Jan 2000 00:00:00 GMT", own},
		{"POST", 413, "Fri, 31 Dec 1999 23:59:00 GMT", own},
		{"POST", 429, "0", own},
		{"POST", 429, "-1", own},
		{"POST", 429, "9", 9 * time.Second},
		{"POST", 408, "9", 9 * time.Second},
		{"POST", 503, "9", no}, // it may have acted
		{"GET", 503, "0", own},
		{"GET", 503, "soon", own},
		{"GET", 503, " 9\t", 9 * time.Second},
		{"GET", 503, "9, 8", 9 * time.Second},
		{"GET", 404, "9", no},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := 0
			rt := roundTripper(func(r *http.Request) (*http.Response, error) {
				resp := answer(r, 200, http.NoBody)
				if n++; n == 1 {
					resp = answer(r, c.code, io.NopCloser(strings.NewReader("later")))
					if c.field != "" {
						resp.Header.Set("Retry-After", c.field)
					}
				}
				return resp, nil
			})
			start := time.Now()
			req, _ := http.NewRequestWithContext(t.Context(), c.method, "http://h/", strings.NewReader("x"))
			resp, err := over(rt, httpx.WithPolicy(policies.Constant(own))).Do(req)
			code, _ := read(t, resp, err)
			got := time.Since(start)
			if n == 1 {
				got = no
			}
			if got != c.wait || (code == 200) != (n == 2) {
				t.Errorf("%s %d, %q: %d after %v, want %v", c.method, c.code, c.field, code, got, c.wait)
			}
		})
	}
}
