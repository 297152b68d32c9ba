package htmlpage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// ending ends ctx when its text has been read.
type ending struct {
	*strings.Reader
	end func()
}

func (e *ending) Read(p []byte) (int, error) {
	n, err := e.Reader.Read(p)
	if e.Len() == 0 {
		e.end()
	}
	return n, err
}

// What a decoder still has to do with a body is not done when the request's time is over.
func TestDecoders_end_with_the_context(t *testing.T) {
	over := errors.New("over")
	deep := strings.Repeat("<div>", 2000)
	site := "<urlset>" + strings.Repeat("<url><loc>http://h/</loc></url>", 10_000) + "</urlset>"
	for name, c := range map[string]struct {
		body string
		read func(*http.Response) error
	}{
		"Text": {"a", func(r *http.Response) error { _, err := Text(r); return err }},
		"Document": {"a", func(r *http.Response) error {
			_, err := Document(r)
			return err
		}},
		"Document, nested": {deep, func(r *http.Response) error {
			_, err := Document(r)
			return err
		}},
		"Sitemap": {packed(site), func(r *http.Response) error {
			_, err := Sitemap(r)
			return err
		}},
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		r := response("text/html", "")
		r.Request = (&http.Request{}).WithContext(ctx)
		r.Body = io.NopCloser(&ending{strings.NewReader(c.body), func() { cancel(over) }})
		if err := c.read(r); !errors.Is(err, over) {
			t.Errorf("%s: %v", name, err)
		}
		r.Body = io.NopCloser(strings.NewReader(c.body)) // from memory, with a context that is over
		if err := c.read(r); err != nil {
			t.Errorf("%s, from memory: %v", name, err)
		}
	}
}

func TestLinks_end_with_the_context(t *testing.T) {
	const all = 10_000
	doc := parse(t, strings.Repeat("<p>", 5000)+links(all))
	ctx, cancel := context.WithCancel(t.Context())
	if n := len(Links(doc, nil, Until(ctx))); n != all {
		t.Errorf("%d links", n)
	}
	cancel()
	for _, more := range [][]LinkOption{nil, {SkipNofollow()}} {
		if n := len(Links(doc, nil, append(more, Until(ctx))...)); n != 0 {
			t.Errorf("%d links when the context has ended", n)
		}
	}
}

func links(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "<a href=/%d>", i)
	}
	return b.String()
}

func TestLinks_that_are_too_long(t *testing.T) {
	long := "/" + strings.Repeat("x", mostLink-1)
	doc := parse(t, "<a href="+long+"></a><a href="+long+"x></a><a href=/b>")
	if got := Links(doc, nil); len(got) != 2 || got[0] != long || got[1] != "/b" {
		t.Errorf("%d links, %.80q", len(got), got)
	}
}
