package httpx

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/retry"
)

// Client is an http.Client whose requests go through a chain of policies. Make one with [New] and
// share it: it is safe for concurrent use and never changes. [Client.With] derives others from it
// that share its connections.
type Client struct {
	cfg *config
	hop *hop        // hc's transport
	hc  http.Client // sends the requests
	err error
}

// New makes a client; elsewhere this is NewClient. Mistakes in its options come back from
// [Client.Validate] and from every call.
func New(opts ...Option) *Client {
	c := &config{workers: defaultWorkers, crawl: defaultBounds}
	c.policy, c.limit = defaultPolicy, defaultLimit
	c.apply(opts)
	return build(c)
}

// With makes a client with further options, which override those of c.
func (c *Client) With(opts ...Option) *Client {
	if c == nil || c.cfg == nil || len(opts) == 0 {
		return c
	}
	cfg := *c.cfg
	cfg.apply(opts)
	return build(&cfg)
}

func build(cfg *config) *Client {
	c := &Client{cfg: cfg, hc: cfg.client, err: cfg.err()}
	c.hop = &hop{
		settings: &cfg.settings, base: cfg.client.Transport, jar: cfg.client.Jar, follows: true,
	}
	if cfg.public && c.err == nil {
		if t, err := publicOnly(cfg.client.Transport); err != nil {
			c.err = err
		} else {
			c.hop.base = t
		}
	}
	if cfg.logger != nil {
		s := cfg.settings
		s.policy = retry.Chain(retry.Observe(logTo(cfg.logger)), s.policy)
		c.hop.settings = &s
	}
	c.hc.Transport = c.hop
	if c.hop.jar != nil {
		// each attempt handles its cookies; net/http only has to see that there is a jar
		c.hc.Jar = noJar{}
	}
	if cfg.secure {
		c.hc.CheckRedirect = noDowngrade(cfg.client.CheckRedirect)
	}
	return c
}

// Validate returns the mistakes in the options of c and in its policies, each of which Is
// [retry.ErrConfig], or nil.
func (c *Client) Validate() error {
	if c == nil || c.cfg == nil {
		return errNilClient
	}
	return c.err
}

var (
	errNilClient  = retry.ConfigErrorf("httpx", "nil client: must be made by New")
	errNilRequest = retry.ConfigErrorf("httpx", "nil request, or one without a URL")
	errNilContext = retry.ConfigErrorf("httpx", "nil context")
	errNilDecoder = retry.ConfigErrorf("httpx", "nil decoder")
)

var defaultClient = New()

// Get is [Client.Get] of a client without options.
func Get(ctx context.Context, url string, opts ...Option) (*http.Response, error) {
	return defaultClient.Get(ctx, url, opts...)
}

// Get sends a GET. As with http.Client a response comes with a nil error whatever its status, and
// its body must be closed.
func (c *Client) Get(ctx context.Context, url string, opts ...Option) (*http.Response, error) {
	return c.send(ctx, http.MethodGet, url, nil, opts)
}

// Head sends a HEAD.
func (c *Client) Head(ctx context.Context, url string, opts ...Option) (*http.Response, error) {
	return c.send(ctx, http.MethodHead, url, nil, opts)
}

// Delete sends a DELETE.
func (c *Client) Delete(ctx context.Context, url string, opts ...Option) (*http.Response, error) {
	return c.send(ctx, http.MethodDelete, url, nil, opts)
}

// Options sends an OPTIONS.
func (c *Client) Options(ctx context.Context, url string, opts ...Option) (*http.Response, error) {
	return c.send(ctx, http.MethodOptions, url, nil, opts)
}

// Post sends a POST; set its type with Header("Content-Type", ...). It is sent again only if the
// server cannot have acted on it: see [RetryNonIdempotent] and [AutoIdempotencyKey]. With an
// Idempotency-Key or X-Idempotency-Key in its header it is retried like a GET. A body can be sent
// again if it is a bytes.Buffer, a bytes.Reader, a strings.Reader, an *os.File or another
// io.ReaderAt that tells its size; these are sent from their present offset, with their length. Any
// other body can be sent again only as long as none of it was read.
func (c *Client) Post(
	ctx context.Context, url string, body io.Reader, opts ...Option,
) (*http.Response, error) {
	return c.send(ctx, http.MethodPost, url, body, opts)
}

// Put sends a PUT.
func (c *Client) Put(
	ctx context.Context, url string, body io.Reader, opts ...Option,
) (*http.Response, error) {
	return c.send(ctx, http.MethodPut, url, body, opts)
}

// Patch sends a PATCH. It is retried like a POST.
func (c *Client) Patch(
	ctx context.Context, url string, body io.Reader, opts ...Option,
) (*http.Response, error) {
	return c.send(ctx, http.MethodPatch, url, body, opts)
}

func (c *Client) send(
	ctx context.Context, method, url string, body io.Reader, opts []Option,
) (*http.Response, error) {
	req, err := newRequest(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	return c.With(opts...).Do(req)
}

func newRequest(ctx context.Context, method, url string, body io.Reader) (*http.Request, error) {
	var err error
	if ctx == nil {
		err = errNilContext
	} else {
		var req *http.Request
		if req, err = http.NewRequestWithContext(ctx, method, url, body); err == nil {
			return req, nil
		}
		err = unsendable(redact.Error(err))
	}
	if closer, ok := body.(io.Closer); ok {
		_ = closer.Close()
	}
	return nil, err
}

// CloseIdleConnections closes the idle connections of the transport underneath, which other clients
// may share.
func (c *Client) CloseIdleConnections() {
	if c != nil && c.cfg != nil {
		c.hop.CloseIdleConnections()
	}
}

// Do sends req, as http.Client's method does. When retries are exhausted the last response comes
// back as it is, with a nil error, unless [RaiseForStatus] says otherwise. If the context, a
// rejection, or a Retry-After that is too long ended the call, there is an error and the response
// is nil.
func (c *Client) Do(req *http.Request) (*http.Response, error) {
	req, err := c.ready(req)
	if err != nil {
		return nil, err
	}
	defer release(req)
	resp, err := c.hc.Do(req)
	if err != nil {
		if resp != nil { // http.Client returns both if a redirect failed; the body is closed
			_ = resp.Body.Close()
		}
		return nil, plainError(err)
	}
	if c.cfg.raise && (resp.StatusCode >= 400 || stuck(resp)) {
		_ = resp.Body.Close()
		return nil, final(resp)
	}
	return resp, nil
}

// final is the error for a response that no exchange has judged, such as a redirect that was not
// followed.
func final(resp *http.Response) error {
	var err error = statusError(resp.Request, resp)
	if stuck(resp) {
		err = fmt.Errorf("%w (not followed: the body cannot be sent again without GetBody)", err)
	}
	return answered(err)
}

// stuck reports whether resp is a redirect that needs the body again when it cannot be sent again.
func stuck(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return hasBody(resp.Request) && resp.Request.GetBody == nil
	}
	return false
}

// ready checks c and req, and adds the client's header fields to a copy of the request.
func (c *Client) ready(req *http.Request) (*http.Request, error) {
	err := c.Validate()
	switch {
	case err != nil:
	case req == nil || req.URL == nil:
		err = errNilRequest
	case c.cfg.resume && (req.Method == http.MethodPost || req.Method == http.MethodPatch):
		err = retry.ConfigErrorf("httpx",
			"Resume(): must be given to GET requests, not to a %s", req.Method)
	}
	if err != nil {
		if req != nil && req.Body != nil {
			_ = req.Body.Close()
		}
		return nil, err
	}
	req = replayable(req)
	key := c.cfg.keyHeader && !idempotent(req)
	name := c.cfg.polite != nil && req.Header["User-Agent"] == nil
	if len(c.cfg.header) == 0 && !key && !name {
		return req, nil
	}
	r := req.WithContext(req.Context())
	if r.Header = req.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	for _, f := range c.cfg.header {
		if r.Header.Set(f.key, f.value); f.key == "Host" {
			r.Host = f.value
		}
	}
	if name && r.Header["User-Agent"] == nil {
		r.Header.Set("User-Agent", c.cfg.polite.agent)
	}
	if key && r.Header.Get("Idempotency-Key") == "" {
		r.Header.Set("Idempotency-Key", rand.Text())
	}
	return r, nil
}

// plainError removes secrets, and the *url.Error that http.Client wraps around every error if the
// error inside names the request already. A deadline anywhere in the tree counts as a timeout for
// callers that ask for a net.Error.
func plainError(err error) error {
	if outer, ok := err.(*url.Error); ok {
		inner := outer.Err
		if !outer.Timeout() && errors.Is(inner, context.DeadlineExceeded) {
			inner = redact.Timeout(inner)
		}
		if err = inner; !errors.As(err, new(*StatusError)) && !errors.As(err, new(*RobotsError)) {
			err = &url.Error{Op: outer.Op, URL: outer.URL, Err: inner}
		}
	}
	return redact.Error(err)
}

type noJar struct{}

func (noJar) SetCookies(*url.URL, []*http.Cookie) {}
func (noJar) Cookies(*url.URL) []*http.Cookie     { return nil }
