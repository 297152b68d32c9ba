package httpx

import (
	"fmt"
	"net/http"
)

// StatusError is a response that was rejected, by a predicate or because it is no 2xx where one was asked for. The policies of
// a chain see it in place of the response.
type StatusError struct {
	Code   int         // 503
	Status string      // "503 Service Unavailable"
	Method string      // of the request
	URL    string      // of the request, without userinfo and with the values of its query hidden
	Header http.Header // of the response

	// Body is what was read ahead of the response's, at most 64 KiB: nil if it announced more or was not there within 200 ms, and
	// for a redirect that was not followed. It is not a part of the text, and not to be changed.
	Body []byte
}

// Error is one line: the request and the status it got.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s %s: %s", e.Method, e.URL, e.Status)
	if e.Code/100 == 2 {
		text += ", rejected by a predicate"
	}
	return text
}

// StatusCode returns Code; policies.Classify asks for it.
func (e *StatusError) StatusCode() int { return e.Code }

func statusError(req *http.Request, resp *http.Response) *StatusError {
	status := resp.Status
	if status == "" {
		status = fmt.Sprintf("%d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	}
	return &StatusError{Code: resp.StatusCode, Status: status, Method: methodOf(req), URL: redactURL(req.URL), Header: resp.Header}
}
