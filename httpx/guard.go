package httpx

import (
	"cmp"
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/field"
	"github.com/reprise-go/reprise/retry"
)

// Guard is a middleware for load shedding: it sends the requests of a server through p, which may
// be a limiter, a bulkhead, an adaptive limit, a throttle, or a breaker for something the handler
// depends on. Build one for each set of handlers that share p:
//
//	limits := policies.Keyed(httpx.ClientKey, func(string) retry.Policy {
//		return ratelimit.New(10, 20, ratelimit.MaxWait(0))
//	})
//	guard := httpx.Guard(retry.Chain(limits, policies.NewAdaptive()))
//	http.Handle("/orders/", guard(orders))
//
// A request that p rejects is answered without running the handler: with 429 if the policy has a
// limit (Quota.Limit of its rejection is positive), else with 503, and with Retry-After in whole
// seconds, rounded up, 1 if the time is not known. A limiter tells its limit in RateLimit-Policy
// and RateLimit fields (draft-ietf-httpapi-ratelimit-headers-10), on responses of admitted requests
// too. If several clients share a limiter each is told its part: the tokens that are left and the
// limit, divided by the number of clients seen in the limiter's window. A client whose pacer reads
// these fields settles at its part without a refusal. If two limiters have the same window but
// different clients, give them names.
//
// To the policies in p a 5xx of the handler is a failure and a 4xx is not. If the deadline of a
// request has passed, perhaps while it waited in a queue, it is answered with 503 and the handler
// does not run. Panics and hijacked connections pass through, and http.ResponseController,
// http.Flusher, http.Hijacker and io.ReaderFrom keep working. If p fails the request, as
// policies.Timeout does, before the handler has written anything, the answer is a 503.
//
// A policy that runs the handler twice, as a retry loop does, is a configuration error. With such
// an error every request is answered with a 500 that says what is wrong. To find it at start-up,
// call the method Validate() error of the handler that the middleware returns.
//
// If a loop inside the handler has retried without success, a 5xx answer says so in the field
// Reprise-Retries, and the caller's [Client] does not retry the request. The fields that callers
// send ([Propagate]) are believed only with [GuardTrust]. A nil p rejects nothing; everything else
// works.
func Guard(p retry.Policy, opts ...GuardOption) func(http.Handler) http.Handler {
	g := &guard{key: remoteKey}
	for _, o := range opts {
		if o == nil {
			g.problem("GuardOption(nil): must not be nil")
			continue
		}
		o(g)
	}
	g.look(p)
	hear := func(ctx context.Context, e retry.Event) { g.hear(ctx, &e) }
	g.policy = retry.Chain(retry.ObserveOnly(hear, retry.KindAdmit, retry.KindGiveUp), p)
	return func(next http.Handler) http.Handler {
		h := &guarded{guard: g, next: next, err: g.err}
		if next == nil && h.err == nil {
			h.err = retry.ConfigErrorf("httpx.Guard", "nil handler")
		}
		return h
	}
}

// GuardOption tunes a [Guard].
type GuardOption func(*guard)

// GuardKey says which client a request is from: an API key, an account. The default is the IP
// address of its RemoteAddr; of an IPv6 address it is the /64, because that is what one customer
// has. X-Forwarded-For and similar fields are not read, because anybody can send them: behind a
// proxy return what the proxy sets. f must be safe for concurrent use.
func GuardKey(f func(*http.Request) string) GuardOption {
	return func(g *guard) {
		if f == nil {
			g.problem("GuardKey(nil): must not be nil")
			return
		}
		g.key = f
	}
}

// GuardTrust says whose fields of [Propagate] are believed: the deadline, the number of the attempt
// and the priority. The default is nobody's, because a stranger would call everything critical. The
// deadline bounds the request's context; the loops of the handler leave retrying to the caller's
// loop (see retry.WithRemoteAttempt); the priority is what retry.PriorityOf returns. f must be safe
// for concurrent use.
func GuardTrust(f func(*http.Request) bool) GuardOption {
	return func(g *guard) {
		if f == nil {
			g.problem("GuardTrust(nil): must not be nil")
			return
		}
		g.trust = f
	}
}

// guard is what all requests through a Guard share.
type guard struct {
	policy   retry.Policy
	key      func(*http.Request) string
	trust    func(*http.Request) bool // nil: nobody
	err      error
	shared   []labelled // the limiters in the chain itself
	clients  clients
	other    atomic.Pointer[labelled]   // the last limiter that is not in shared
	policies atomic.Pointer[policyTold] // the last RateLimit-Policy
	lefts    atomic.Pointer[leftTold]   // the last RateLimit
}

// labelled is a limiter and the name under which its fields tell of it.
type labelled struct{ label, name string }

func labelledBy(label string) labelled {
	_, name, _ := strings.Cut(label, " ")
	return labelled{label, cmp.Or(field.Token(name), "default")}
}

type policyTold struct {
	of   field.Named
	text string
}

// leftTold is a RateLimit field. A limiter that is hardly used, and one that is used up, tells the
// same in many responses.
type leftTold struct {
	name      string
	remaining int
	seconds   int64 // to the reset
	text      string
}

func (g *guard) problem(format string, args ...any) {
	if g.err == nil {
		g.err = retry.ConfigErrorf("httpx.Guard", format, args...)
	}
}

// look validates p, and notes which limiters are in the chain itself. All others are in a container
// such as Keyed, one for each of its keys.
func (g *guard) look(p retry.Policy) {
	if err := retry.Validate(p); err != nil {
		g.err = err
		return
	}
	inside := "" // the path of a container, with a slash
	retry.Walk(p, func(path string, p retry.Policy) bool {
		t, ok := p.(interface{ Traits() retry.Traits })
		switch {
		case ok && t.Traits().Loop:
			g.problem("%s: must not run the handler twice: retry on the client", retry.Describe(p))
		case inside != "" && strings.HasPrefix(path+"/", inside): // also the member of key ""
		case ok && t.Traits().Limiter:
			label, _, _ := strings.Cut(retry.Describe(p), "(")
			g.shared = append(g.shared, labelledBy(label))
		default:
			if _, ok := p.(interface {
				Members(yield func(string, retry.Policy) bool)
			}); ok {
				inside = path + "/"
			}
		}
		return true
	})
}

// guarded is a handler behind a guard.
type guarded struct {
	*guard
	next http.Handler
	err  error
}

// Validate returns the mistakes in the guard's policy and options, each of which Is
// [retry.ErrConfig].
func (h *guarded) Validate() error { return h.err }

func (h *guarded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h.err != nil {
		http.Error(w, h.err.Error(), http.StatusInternalServerError)
		return
	}
	a, lapse := h.arrive(r)
	if lapse != nil {
		defer lapse.end()
	}
	a.guarded, a.request, a.answer.ResponseWriter = h, r, w
	err := a.room.Run(a, h.policy, a)
	if a.answer.begun() || err == nil && a.stage.Load() >= handling {
		return
	}
	a.refuse(err)
}

// arrive makes the arrival of a request, with what a trusted caller has told, and with the lapse of
// the deadline that it told, if any: the caller must end it.
func (h *guarded) arrive(r *http.Request) (*arrival, *lapse) {
	if h.trust != nil {
		if told, any := toldBy(r.Header); any && h.trust(r) {
			both := &struct { // one allocation
				arrival
				lapse lapse
			}{}
			ctx, ends := told.within(r.Context(), &both.lapse)
			if both.Context = ctx; ends {
				return &both.arrival, &both.lapse
			}
			return &both.arrival, nil
		}
	}
	return &arrival{Context: r.Context()}, nil
}

// refuse answers a request instead of the handler.
func (a *arrival) refuse(err error) {
	w := a.answer.ResponseWriter
	verdict := retry.VerdictOf(err)
	switch code := http.StatusServiceUnavailable; {
	case verdict.Config:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		if rejection := verdict.Rejection; rejection != nil {
			wait := cmp.Or(rejection.RetryAfter, rejection.Quota.Reset)
			if rejection.Quota.Limit > 0 {
				code = http.StatusTooManyRequests
				a.tell(rejection.Policy, rejection.Quota, time.Now(), false)
			}
			w.Header().Set("Retry-After", strconv.FormatInt(max(1, field.Ceil(wait)), 10))
		}
		http.Error(w, http.StatusText(code), code)
	}
}

// hear is the guard's observer: it notes the events of the arrival in ctx.
func (g *guard) hear(ctx context.Context, e *retry.Event) {
	a, _ := ctx.Value(arrivalKey{g}).(*arrival)
	if a == nil {
		return
	}
	switch {
	case e.Kind == retry.KindAdmit && a.stage.Load() == arriving:
		a.tell(e.Policy, e.Quota, e.Time, true)
	case e.Kind == retry.KindGiveUp && retry.Spent(e.Err):
		a.answer.marks.Or(spent)
	}
}

// tell adds a limiter's quota to the response.
func (a *arrival) tell(policy string, q retry.Quota, at time.Time, admitted bool) {
	if q.Limit <= 0 {
		return
	}
	name, shared := a.named(policy)
	if shared || a.answer.marks.Load()&keyed == 0 {
		window := max(q.Window, time.Second)
		n, left := a.clients.seen(a.clientKey(), q.Limit, window, at, admitted)
		// So short a window cannot be told, so clients cannot keep to what is left of it.
		short := q.Window < window
		q = field.Share(q, n)
		if !short {
			q.Remaining = max(0, min(q.Remaining, int(left)))
		}
	}
	n := &field.Named{Name: name, Quota: q}
	h := a.answer.Header()
	var told []string
	if len(h) > 0 {
		told = h["Ratelimit-Policy"]
	}
	if told == nil { // there is usually one limiter
		a.fields = [2]string{a.policyText(n), a.leftText(n)}
		h["Ratelimit-Policy"], h["Ratelimit"] = a.fields[0:1:1], a.fields[1:2:2]
		return
	}
	for i := 2; taken(told, n.Name); i++ {
		n.Name = name + strconv.Itoa(i)
	}
	h["Ratelimit-Policy"] = append(told, a.policyText(n))
	h["Ratelimit"] = append(h["Ratelimit"], n.Left())
}

// named returns the name of a limiter in the fields. One that is in the chain itself is shared by
// all clients. Of another, a policy before it may have asked for the client's key: then it serves
// this client alone.
func (g *guard) named(label string) (name string, shared bool) {
	for i := range g.shared {
		if g.shared[i].label == label {
			return g.shared[i].name, true
		}
	}
	last := g.other.Load()
	if last == nil || last.label != label {
		last = new(labelledBy(label))
		g.other.Store(last)
	}
	return last.name, false
}

// policyText is n.Policy(), which is usually the same as last time.
func (g *guard) policyText(n *field.Named) string {
	last := g.policies.Load()
	if last == nil || !last.of.SamePolicy(n) {
		last = &policyTold{*n, n.Policy()}
		g.policies.Store(last)
	}
	return last.text
}

// leftText is n.Left(), which is often the same as last time.
func (g *guard) leftText(n *field.Named) string {
	last, seconds := g.lefts.Load(), n.ResetSeconds()
	if last == nil || last.remaining != n.Remaining || last.seconds != seconds ||
		last.name != n.Name {
		last = &leftTold{n.Name, n.Remaining, seconds, n.Left()}
		g.lefts.Store(last)
	}
	return last.text
}

func taken(members []string, name string) bool {
	for _, m := range members {
		if strings.HasPrefix(m, `"`+name+`"`) {
			return true
		}
	}
	return false
}
