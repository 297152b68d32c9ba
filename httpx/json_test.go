package httpx_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/internal/check"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type item struct{ N int }

// What is not JSON although it is all there comes again; what is cut may not.
func TestJSONIsAskedForAgainAsOftenAsThatMayHelp(t *testing.T) {
	const bom = "\ufeff"
	for _, c := range []struct {
		name, kind string
		body       string
		broken     error // how the body ends; nil: io.EOF
		requests   int
		want       int
		says       string
	}{
		{"whole", "application/json", `{"N":7}`, nil, 1, 7, ""},
		{"with a byte order mark", "application/json", bom + `{"N":7}`, nil, 1, 7, ""},
		{"with white space", "application/json", " \n{\"N\":7}\n ", nil, 1, 7, ""},
		{"a page", "text/html; charset=utf-8", "<!doctype html><p>Please log in", nil, 2, 0,
			`(200 OK, text/html; charset=utf-8: "<!doctype html><p>Please log in")`},
		{"another type", "application/json", `{"N":"seven"}`, nil, 2, 0, "cannot unmarshal string"},
		{"two values", "application/json", `{"N":7}{"N":8}`, nil, 2, 7, "more than one value"},
		{"text after it", "", `{"N":7} trailing`, nil, 2, 7, "more than one value"},
		{"empty", "application/json", "", nil, 4, 0, "(200 OK, application/json: \"\")"},
		{"only a mark", "application/json", bom, nil, 4, 0, "unexpected EOF"},
		{"cut", "application/json", `{"N":`, nil, 4, 0, "unexpected EOF"},
		{"broken off", "application/json", `{"N":7`, io.ErrUnexpectedEOF, 4, 0, ""},
		{"broken off after the value", "application/json", `{"N":7}`, errBang, 4, 7, ""},
	} {
		n := 0
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			n++
			body := io.Reader(strings.NewReader(c.body))
			if c.broken != nil {
				body = io.MultiReader(body, iotest.ErrReader(c.broken))
			}
			resp := answer(r, 200, io.NopCloser(body))
			resp.Status = "200 OK"
			if c.kind != "" {
				resp.Header.Set("Content-Type", c.kind)
			}
			return resp, nil
		}), httpx.WithPolicy(policies.Constant(0, policies.Attempts(4))))
		v, err := httpx.Fetch(t.Context(), client, "http://h/", httpx.JSON[item])
		if n != c.requests || v.N != c.want || (err == nil) != (c.requests == 1) ||
			err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %+v, %v after %d", c.name, v, err, n)
		}
		reason := retry.ErrExhausted
		if c.requests == 2 {
			reason = retry.ErrPermanent
		}
		if err != nil && !errors.Is(err, reason) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestJSONThatGetsBetterIsTaken(t *testing.T) {
	n := 0
	client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
		body := "<html>"
		if n++; n == 2 {
			body = `{"N":7}`
		}
		return answer(r, 200, io.NopCloser(strings.NewReader(body))), nil
	}))
	if v, err := httpx.Fetch(t.Context(), client, "http://h/", httpx.JSON[item]); v.N != 7 ||
		err != nil {
		t.Errorf("%+v, %v", v, err)
	}
}

// A server that answers with a megabyte of nonsense gets a kilobyte of it into the error.
func TestAServersTextInAnErrorIsBounded(t *testing.T) {
	long := strings.Repeat("9", 1<<20)
	for name, c := range map[string]struct {
		body   string
		header http.Header
		status string
	}{
		"number":  {`{"N":` + long + `}`, nil, ""},
		"syntax":  {strings.Repeat("<", 1<<20), nil, ""},
		"type":    {"x", http.Header{"Content-Type": {long}}, ""},
		"status":  {"x", nil, "500 " + long},
		"coding":  {"x", http.Header{"Content-Encoding": {"br, " + long}}, ""},
		"codings": {"x", http.Header{"Content-Encoding": {strings.Repeat("gzip,", 10_000)}}, ""},
	} {
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, io.NopCloser(strings.NewReader(c.body)))
			for key, v := range c.header {
				resp.Header[key] = v
			}
			if c.status != "" {
				resp.StatusCode, resp.Status = 500, c.status
			}
			return resp, nil
		}))
		_, err := httpx.Fetch(t.Context(), client, "http://h/", httpx.JSON[item])
		if err == nil || len(err.Error()) > 3<<10 {
			t.Errorf("%s: %d bytes", name, len(err.Error()))
		}
	}
}

// A Content-Encoding that is not a coding packs nothing.
func TestWhatIsNotAContentCodingIsIdentity(t *testing.T) {
	for coding, ok := range map[string]bool{
		"utf-8": true, "UTF-8": true, "none": true, "binary": true, "8bit": true, "text/html": true,
		"identity": true, "chunked": true, "": true, "utf-8, identity": true,
		"br": false, "zstd": false, "compress": false, "Zstd": false, "utf-8, br": false,
	} {
		client := over(roundTripper(func(r *http.Request) (*http.Response, error) {
			resp := answer(r, 200, io.NopCloser(strings.NewReader("plain")))
			resp.Header.Set("Content-Encoding", coding)
			return resp, nil
		}))
		v, err := httpx.Fetch(t.Context(), client, "http://h/", httpx.Text)
		if ok && (v != "plain" || err != nil) || !ok && !errors.Is(err, httpx.ErrEncoding) {
			t.Errorf("%q: %q, %v", coding, v, err)
		}
	}
	rt := roundTripper(func(r *http.Request) (*http.Response, error) {
		resp := answer(r, 200, gzipped("packed"))
		resp.Header.Set("Content-Encoding", "utf-8, gzip")
		return resp, nil
	})
	if v, err := httpx.Fetch(t.Context(), over(rt), "http://h/", httpx.Text); v != "packed" ||
		err != nil {
		t.Errorf("beside gzip: %q, %v", v, err)
	}
}

func FuzzJSON(f *testing.F) {
	for _, s := range []string{`{"N":1}`, "\ufeff1", "", "<", `{"N":"x"}`, "1 2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var want any
		bare := bytes.TrimPrefix(body, []byte("\ufeff"))
		wanted := json.Unmarshal(bare, &want)
		var err error
		check.Fast(t, len(body), time.Second, func() {
			_, err = httpx.JSON[any](&http.Response{Status: "200 OK", Header: http.Header{},
				Body: io.NopCloser(bytes.NewReader(body))})
		})
		if (err == nil) != (wanted == nil) || err != nil && len(err.Error()) > 2<<10 {
			t.Errorf("%q: %v, want %v", body, err, wanted)
		}
	})
}
