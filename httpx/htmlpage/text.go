package htmlpage

import (
	"cmp"
	"context"
	"io"
	"net/http"

	"github.com/reprise-go/reprise/httpx"
)

var _ httpx.Decoder[string] = Text

// Text reads the whole body and decodes it to UTF-8. The charset is found as browsers find it (the
// WHATWG's HTML standard, section 13.2.3.2), in this order: a byte order mark; the charset of
// Content-Type; in HTML and XML the declaration in the page; else a guess from the text: UTF-8 if
// it is valid, then the legacy encodings of Japanese, Korean, Chinese, Cyrillic, Greek, Hebrew and
// Arabic, then windows-1252. Labels are those of the WHATWG's Encoding standard, so iso-8859-1 is
// windows-1252 and gb2312 is GBK; unknown labels are ignored.
//
// Bytes that are invalid in the charset become U+FFFD. A byte order mark is dropped. Text ends with
// the request's context, also when the body is there and only has to be decoded.
func Text(r *http.Response) (string, error) {
	ctx := contextOf(r)
	b, err := httpx.Bytes(r)
	text, ended := decode(ctx, b, r.Header.Get("Content-Type"))
	return text, cmp.Or(err, ended)
}

// contextOf is the context of r's request. A RoundTripper may return a body that is in memory with
// a context that is over; then there is nothing to end.
func contextOf(r *http.Response) context.Context {
	if r.Request == nil || r.Request.Context().Err() != nil {
		return context.Background()
	}
	return r.Request.Context()
}

// during is a text that can be read as long as ctx lasts. A page of some megabytes takes longer to
// parse than a deadline may leave.
type during struct {
	ctx context.Context
	io.Reader
}

func (d *during) Read(p []byte) (int, error) {
	if d.ctx.Err() != nil {
		return 0, context.Cause(d.ctx)
	}
	return d.Reader.Read(p[:min(len(p), 1<<20)])
}
