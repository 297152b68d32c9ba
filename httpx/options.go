package httpx

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/redact"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

// Option tunes a [Client], or one request, for which it overrides the client's. If two contradict
// each other the later one counts. A mistake in an option fails every call with an error that Is
// [retry.ErrConfig].
type Option func(*config)

// config is what the options say. It never changes once a client has it.
type config struct {
	settings
	client    http.Client
	header    []headerField
	keyHeader bool // an automatic Idempotency-Key
	workers   int
	resume    bool
	crawl     crawlBounds
	public    bool
	problems  []string
}

type headerField struct{ key, value string }

// settings are the options that a single exchange needs.
type settings struct {
	policy        retry.Policy
	limit         time.Duration // of each attempt, until the headers are there; 0: none
	transient     []Predicate   // nil: Transient
	refused       []Predicate
	notProcessed  []Predicate
	nonIdempotent bool
	raise         bool // RaiseForStatus
	each          []func(int, *http.Request) error
	alternates    []*url.URL
	maxBody       int64 // 0: no bound
	decoders      map[string]expander
	secure        bool        // NoDowngrade
	polite        *politeness // nil: no robots.txt
	logger        *slog.Logger
	propagate     []recipient // who is told of deadline, attempt and priority
}

var defaultPolicy = policies.Exponential()

const (
	defaultLimit   = 30 * time.Second
	defaultWorkers = 8
)

func (c *config) apply(opts []Option) {
	for _, o := range opts {
		if o == nil {
			c.problem("Option(nil): must not be nil")
			continue
		}
		o(c)
	}
}

func (c *config) problem(format string, args ...any) {
	c.problems = append(slices.Clip(c.problems), fmt.Sprintf(format, args...))
}

func (c *config) err() error {
	own, policy := error(nil), retry.Validate(c.policy)
	if len(c.problems) > 0 {
		own = retry.ConfigErrorf("httpx", "%s", strings.Join(c.problems, "; "))
	}
	if own != nil && policy != nil {
		return fmt.Errorf("%w; %w", own, policy)
	}
	return cmp.Or(own, policy)
}

// WithPolicy sends every request through p instead of the default, policies.Exponential(). With
// retry.Chain() there is one attempt. [AttemptLimit] holds under p too. Elsewhere this is WithRetry
// or RetryMax.
func WithPolicy(p retry.Policy) Option {
	return func(c *config) {
		if p == nil {
			c.problem("WithPolicy(nil): must not be nil; retry.Chain() is one attempt")
			return
		}
		c.policy = p
	}
}

// AttemptLimit bounds each attempt to d until the response's headers are there, under every policy;
// 30 s by default. 0 means no limit. Under [Fetch] the same d then bounds each wait for more of the
// body. An attempt that ran into it fails with an error that Is policies.ErrTimeout and Is
// context.DeadlineExceeded. For a WithTimeout or SetTimeout of all attempts together give the
// call's context a deadline.
func AttemptLimit(d time.Duration) Option {
	return func(c *config) {
		if d < 0 {
			c.problem("AttemptLimit(%v): must not be negative", d)
			return
		}
		c.limit = d
	}
}

// WithClient takes the transport, the cookie jar, the redirect rule and the timeout of hc. The
// timeout spans all attempts, waits and redirects together. hc itself is not changed, and later
// changes to it have no effect. It stands for WithTransport, WithProxy, WithCookieJar and
// CheckRedirect:
//
//	httpx.WithClient(&http.Client{Transport: t, Jar: jar})
func WithClient(hc *http.Client) Option {
	return func(c *config) {
		if hc == nil {
			c.problem("WithClient(nil): must not be nil")
			return
		}
		c.client = *hc
	}
}

// WithLogger logs each retry, each rejection and each call that gives up to l, with the request's
// method and URL but without secrets: see [retry.LogTo].
func WithLogger(l *slog.Logger) Option {
	return func(c *config) {
		if l == nil {
			c.problem("WithLogger(nil): must not be nil")
			return
		}
		c.logger = l
	}
}

// RetryOn rejects responses for which one of ps is true, in addition to those that are rejected
// already. Elsewhere this is CheckRetry, AddRetryCondition or a list of statuses
// (status_forcelist): RetryOn(Status(404)). A rejected response to a POST or PATCH is retried only
// with [RetryNonIdempotent] or an Idempotency-Key. RetryOn and [RetryOnly] do for responses what
// policies.Classify does for other calls: statuses are judged and marked before a policy sees them.
func RetryOn(ps ...Predicate) Option {
	return predicates("RetryOn", ps, func(c *config) {
		if c.transient == nil {
			c.transient = []Predicate{Transient}
		}
		c.transient = append(slices.Clip(c.transient), ps...)
	})
}

// RetryOnly rejects responses for which one of ps is true, and no others.
func RetryOnly(ps ...Predicate) Option {
	ps = slices.Clone(ps)
	return predicates("RetryOnly", ps, func(c *config) { c.transient = ps })
}

// Refused names responses by which the server refuses the client, whatever their status: a captcha
// page or a 403. They are retried like those of [RetryOn], with the same bounds for POST and PATCH,
// but they are not the server's fault (Neutral), and limiters and pacers slow down.
// (ratelimit.Refused judges errors. A 403 that is accepted here is not an error, so a pacer would
// not hear of it.)
func Refused(ps ...Predicate) Option {
	return predicates("Refused", ps, func(c *config) {
		c.refused = append(slices.Clip(c.refused), ps...)
	})
}

// NotProcessed names responses which mean that the server has not acted on the request: a 401 whose
// token [EachAttempt] refreshes, a proxy's 407. They are retried whatever the method, even for a
// POST without an Idempotency-Key. (After a lost connection such a POST is still not retried.) The
// body must be replayable.
func NotProcessed(ps ...Predicate) Option {
	return predicates("NotProcessed", ps, func(c *config) {
		c.notProcessed = append(slices.Clip(c.notProcessed), ps...)
	})
}

func predicates(name string, ps []Predicate, set func(*config)) Option {
	bad := len(ps) == 0 || slices.ContainsFunc(ps, func(p Predicate) bool { return p == nil })
	return func(c *config) {
		if bad {
			c.problem("%s(): needs predicates, none of them nil", name)
			return
		}
		set(c)
	}
}

// RaiseForStatus turns a 4xx or 5xx into an error, and so a redirect that cannot be followed
// because the body cannot be sent again. In its tree is a [*StatusError], with the body as far as
// it could be read. A 304, or a redirect that the http.Client does not follow, comes back as it is.
// By default this is off: the last response comes back without an error. Elsewhere this is
// raise_for_status.
func RaiseForStatus(on bool) Option { return func(c *config) { c.raise = on } }

// RetryNonIdempotent retries POST and PATCH like GET, also the responses of [RetryOn] and
// [Refused]. Use it only if the server takes a request twice without harm. Elsewhere this is a list
// of methods (allowed_methods).
func RetryNonIdempotent(on bool) Option { return func(c *config) { c.nonIdempotent = on } }

// AutoIdempotencyKey gives each request that is not idempotent by its method its own
// Idempotency-Key, the same in all attempts, unless it has one. Such requests are retried like GET,
// and so is one that has an Idempotency-Key or X-Idempotency-Key set by hand, without this option.
func AutoIdempotencyKey() Option { return func(c *config) { c.keyHeader = true } }

// EachAttempt calls f before every attempt with the attempt's request, a clone that f may change:
// the URL, the method, headers, the body (with its ContentLength and GetBody). An error from f is
// final, and a [*retry.Rejection]: nothing was sent, so no breaker counts it and a limiter gets its
// token back. Attempts count from 1. Several functions run in order. f must be safe for concurrent
// use.
//
// f also runs on each hop of a redirect, even to another host, after net/http has dropped the
// credentials: set a token only if r.URL.Host is the host that it is for. Elsewhere this is
// RequestLogHook, PrepareRetry or OnBeforeRequest.
func EachAttempt(f func(attempt int, r *http.Request) error) Option {
	return func(c *config) {
		if f == nil {
			c.problem("EachAttempt(nil): must not be nil")
			return
		}
		c.each = append(slices.Clip(c.each), f)
	}
}

// Alternates sends attempt i to URL i instead of the request's; further attempts go to the last
// one. Credentials stay with their host: the request's (Authorization, cookies) go to the request's
// own host only, and those in an alternate's URL to that alternate only. Redirects are followed
// from the URL that the attempt went to.
func Alternates(urls ...string) Option {
	var parsed []*url.URL
	problem := ""
	if len(urls) == 0 {
		problem = "Alternates(): needs at least one URL"
	}
	for _, raw := range urls {
		u, err := url.Parse(raw)
		switch {
		case err != nil:
			problem = "Alternates(): " + redact.Error(err).Error()
		case u.Scheme == "" || u.Host == "":
			problem = fmt.Sprintf("Alternates(%s): must be absolute URLs", redact.URL(u))
		default:
			parsed = append(parsed, u)
		}
	}
	return func(c *config) {
		if problem != "" {
			c.problem("%s", problem)
			return
		}
		c.alternates = parsed
	}
}

// MaxBody bounds a response's body to n bytes, decompressed; a read beyond that fails with
// *http.MaxBytesError. By default there is no bound, except that [Fetch] bounds what a
// Content-Encoding unpacks to; MaxBody replaces that bound.
func MaxBody(n int64) Option {
	return func(c *config) {
		if n <= 0 {
			c.problem("MaxBody(%d): must be positive", n)
			return
		}
		c.maxBody = n
	}
}

// Header sets a header field of the request and replaces its value. The UserAgent is
// Header("User-Agent", "examplebot/1.0"), or what [Polite] is given; SetAuthToken is
// Header("Authorization", "Bearer "+token).
func Header(key, value string) Option {
	return func(c *config) {
		if !validHeader(key, value) {
			// the value is not shown, because it may be a secret
			c.problem("Header(%.40q): must be a legal field", key)
			return
		}
		c.header = append(slices.Clip(c.header), headerField{http.CanonicalHeaderKey(key), value})
	}
}

// Workers is how many requests of a [FetchAll] or a [Crawl] are under way at once, 8 by default.
// Elsewhere this is Concurrency or Parallelism. In front of a ratelimit.Pacer, which limits by
// itself what is in flight, take 16 or more: a page that is refused for its own sake, as by a
// captcha, is told from the limit if at least eight others came between two refusals of it.
func Workers(n int) Option {
	return func(c *config) {
		if n < 1 {
			c.problem("Workers(%d): must be at least 1", n)
			return
		}
		c.workers = n
	}
}

// Resume lets the attempts of a [Fetch] by GET continue a body that was cut off, with Range and
// If-Range, if the server names it by a strong ETag. What was read is kept in memory until the call
// is over, up to 64 MiB or [MaxBody]; a longer body starts over (use [Save] for those). The request
// says Accept-Encoding: identity unless it sets the field, and an attempt that brought a part of
// the body counts like any other. With a POST or PATCH it is a configuration error; on other
// requests it has no effect.
func Resume() Option { return func(c *config) { c.resume = true } }

// Decompress lets [Fetch] read, through open, bodies of a content coding that the standard library
// has no reader for, such as br and zstd. Without it such a body is an error that Is [ErrEncoding].
// The client does not ask for the coding by itself: see [Header] and Accept-Encoding. A reader that
// is an io.Closer is closed after the body. open must be safe for concurrent use.
func Decompress(coding string, open func(io.Reader) (io.Reader, error)) Option {
	coding = strings.ToLower(coding)
	return func(c *config) {
		if open == nil || !validHeader(coding, "") {
			c.problem("Decompress(%.40q): needs the name of a content coding and a function",
				coding)
			return
		}
		c.decoders = maps.Clone(c.decoders)
		if c.decoders == nil {
			c.decoders = make(map[string]expander)
		}
		c.decoders[coding] = open
	}
}

// PublicOnly refuses connections to addresses that are not public. Addresses are checked when they
// are dialled, so redirects are covered, and names whose address changes between look-up and dial.
// It needs an *http.Transport without a proxy: a proxy that is set is a configuration error, and if
// HTTP_PROXY or HTTPS_PROXY names one (http.DefaultTransport obeys them) every request that would
// go through it fails with that error.
func PublicOnly() Option { return func(c *config) { c.public = true } }

// NoDowngrade refuses redirects from https to http with [ErrDowngrade].
func NoDowngrade() Option { return func(c *config) { c.secure = true } }

// validHeader tells whether key is a token and value has no control characters (RFC 9110, sections
// 5.1 and 5.5).
func validHeader(key, value string) bool {
	for _, c := range key {
		if c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c) {
			return false
		}
	}
	control := func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }
	return key != "" && !strings.ContainsFunc(value, control)
}
