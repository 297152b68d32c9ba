package httpx

import (
	"context"
	"errors"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/httpx/internal/hostname"
	"github.com/reprise-go/reprise/retry"
)

// The fields that travel between services, in canonical form: see Propagate, GuardTrust and Guard.
const (
	deadlineField = "Reprise-Deadline-Ms" // the time that is left
	attemptField  = "Reprise-Attempt"     // of the caller's loop, from 1; absent without one
	priorityField = "Reprise-Priority"    // absent if Normal
	retriesField  = "Reprise-Retries"     // of a response
	retriesSpent  = "spent"               // the server has retried it without success

	mostDeadline = time.Hour
)

// Propagate tells the servers on these hosts what the caller knows of each request: the
// milliseconds until the deadline of its context, at most an hour (Reprise-Deadline-Ms); the number
// of the attempt if a retry loop makes it (Reprise-Attempt); and the priority, if it is not Normal
// (Reprise-Priority; see retry.WithPriority). If a policies.Timeout bounds the attempt, the
// deadline is the attempt's.
//
// A [Guard] there that trusts this client (GuardTrust) starts no work after the deadline, does not
// repeat what this client's loop repeats, and sheds lower priorities first.
//
// A host is a name or an IP address, with a port for that port only; "*.internal" names every host
// below internal. No other host is told, also not after a redirect. The fields replace those of the
// same name that the request has.
func Propagate(hosts ...string) Option {
	var to []recipient
	problem := ""
	if len(hosts) == 0 {
		problem = "Propagate(): needs hosts"
	}
	for _, h := range hosts {
		r, ok := recipientOf(h)
		if !ok {
			quoted := strconv.Quote(h[:min(len(h), 100)])
			problem = "Propagate(" + quoted + "): must be a host, host:port or *.suffix"
		}
		to = append(to, r)
	}
	return func(c *config) {
		if problem != "" {
			c.problem("%s", problem)
			return
		}
		c.propagate = to
	}
}

// recipient is a host that is told, or all hosts below one.
type recipient struct {
	name  string
	port  string // empty: any
	below bool
}

func recipientOf(host string) (recipient, bool) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]"), ""
	} else if n, bad := strconv.ParseUint(port, 10, 16); bad != nil || n == 0 {
		return recipient{}, false
	} else {
		port = strconv.FormatUint(n, 10)
	}
	r := recipient{port: port}
	name, r.below = strings.CutPrefix(name, "*.")
	r.name = hostname.Name(name)
	bad := r.name == "" || strings.ContainsAny(r.name, "*/@?# \t") || r.name[0] == '.'
	return r, !bad
}

func (r recipient) is(u *url.URL) bool {
	name := hostname.Name(u.Hostname())
	if r.port != "" && r.port != portOf(u) {
		return false
	}
	if r.below {
		sub, ok := strings.CutSuffix(name, "."+r.name)
		return ok && sub != ""
	}
	return name == r.name
}

func portOf(u *url.URL) string {
	switch port := strings.TrimLeft(u.Port(), "0"); {
	case port != "":
		return port
	case u.Scheme == "https":
		return "443"
	}
	return "80"
}

// tell adds the fields to an attempt's request, if its server is to be told.
func (x *exchange) tell(ctx context.Context, req *http.Request) {
	if len(x.propagate) == 0 || !x.tells(req) {
		return
	}
	header := make(http.Header, len(req.Header)+3)
	maps.Copy(header, req.Header)
	for _, key := range [...]string{deadlineField, attemptField, priorityField} {
		delete(header, key)
	}
	if deadline, ok := ctx.Deadline(); ok {
		left := min(max(0, time.Until(deadline)), mostDeadline)
		header[deadlineField] = []string{strconv.FormatInt(left.Milliseconds(), 10)}
	}
	if retry.Depth(ctx) > 0 {
		header[attemptField] = []string{strconv.Itoa(retry.Attempt(ctx))}
	}
	if p := retry.PriorityOf(ctx); p != retry.Normal {
		header[priorityField] = []string{strconv.Itoa(int(p))}
	}
	req.Header = header
}

// tells reports whether req goes to a host that is told and was not redirected there by another
// host.
func (x *exchange) tells(req *http.Request) bool {
	host := hostOf(req.URL)
	for hop := x.req; hop.Response != nil && hop.Response.Request != nil; {
		if hop = hop.Response.Request; hostOf(hop.URL) != host {
			return false
		}
	}
	for _, r := range x.propagate {
		if r.is(req.URL) {
			return true
		}
	}
	return false
}

// told is what a caller's fields say of its request. A field that cannot be read counts as absent.
type told struct {
	deadline          time.Duration
	attempt, priority int
	has               struct{ deadline, attempt, priority bool }
}

// toldBy reads the fields of a request, and reports whether it has any.
func toldBy(header http.Header) (t told, any bool) {
	deadline, attempt := header[deadlineField], header[attemptField]
	priority := header[priorityField]
	if len(deadline)+len(attempt)+len(priority) == 0 {
		return t, false
	}
	ms, err := number(deadline) // a number beyond 32 bits is read as the largest
	ms = min(ms, int(mostDeadline.Milliseconds()))
	t.deadline = time.Duration(ms) * time.Millisecond
	t.has.deadline = ms >= 0 && (err == nil || errors.Is(err, strconv.ErrRange))
	t.attempt, err = number(attempt)
	t.has.attempt = err == nil && t.attempt >= 1
	t.priority, err = number(priority)
	t.has.priority = err == nil
	return t, true
}

// number reads the first value of a field as a whole number of 32 bits.
func number(values []string) (int, error) {
	if len(values) == 0 {
		return 0, strconv.ErrSyntax
	}
	s, n := values[0], 0
	for i := 0; i < len(s); i++ {
		digit := int(s[i]) - '0'
		if uint(digit) > 9 || i == 9 { // what is unusual is left to strconv
			long, err := strconv.ParseInt(s, 10, 32)
			return int(long), err
		}
		n = 10*n + digit
	}
	if s == "" {
		return 0, strconv.ErrSyntax
	}
	return n, nil
}

// within returns a context under ctx that carries what was told, and l, to which it gives the
// deadline. The caller must end l if ends is true.
func (t told) within(ctx context.Context, l *lapse) (under context.Context, ends bool) {
	if t.has.deadline {
		at := retry.Next{}.Now().Add(t.deadline)
		if sooner, ok := ctx.Deadline(); !ok || at.Before(sooner) {
			l.Context, l.deadline, ends = ctx, at, true
			if t.deadline > 0 {
				l.phase.Store(fresh)
			}
			ctx = l
		}
	}
	if t.has.attempt {
		ctx = retry.WithRemoteAttempt(ctx, t.attempt)
	}
	if t.has.priority {
		ctx = retry.WithPriority(ctx, retry.Priority(t.priority))
	}
	return ctx, ends
}

// RetriesSpent is for retry.Spent. It reports whether the server says that it has already retried,
// without success, what this request needs.
func (e *StatusError) RetriesSpent() bool {
	return e.Code >= 500 && e.Header.Get(retriesField) == retriesSpent
}
