package httpx

import (
	"io"
	"net/http"
)

// hooks runs those of EachAttempt. The body that they are given is closed with the one that they put in its place, which may be
// around it, or here if nothing will be sent. To tell the two apart it is in a pointer: not all bodies can be compared.
func (x *exchange) hooks(req *http.Request) error {
	if len(x.each) == 0 {
		return nil
	}
	var given *givenBody
	if hasBody(req) {
		given = &givenBody{req.Body}
		req.Body = given
	}
	passed := false
	defer func() {
		switch {
		case given != nil && req.Body == given:
			req.Body = given.ReadCloser
		case given != nil && hasBody(req):
			req.Body = &replacedBody{req.Body, given}
		case given != nil:
			_ = given.Close()
		}
		if !passed && req.Body != nil {
			_ = req.Body.Close()
		}
	}()
	for _, f := range x.each {
		if err := f(x.sent+1, req); err != nil {
			return err
		}
	}
	passed = true
	return nil
}

type givenBody struct{ io.ReadCloser }

type replacedBody struct {
	io.ReadCloser
	given io.Closer
}

func (b *replacedBody) Close() error {
	err := b.ReadCloser.Close()
	_ = b.given.Close()
	return err
}
