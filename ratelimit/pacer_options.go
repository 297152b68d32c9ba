package ratelimit

import "golang.org/x/time/rate"

// StartRate begins at r calls a second instead of searching for a rate. It is where the search
// begins, not a bound: that is MaxRate.
func StartRate(r rate.Limit) Option {
	return Option{"StartRate", r, forPacer, func(c *config) string {
		c.startRate = r
		return positive(r)
	}}
}

// MaxRate bounds the rate, whatever the callee would permit. The default, rate.Inf, is not a bound.
func MaxRate(r rate.Limit) Option {
	return Option{"MaxRate", r, forPacer, func(c *config) string {
		c.maxRate = r
		return positive(r)
	}}
}

// MaxInFlight bounds the calls on their way at once. Without it the callee is the only bound.
func MaxInFlight(n int) Option {
	return Option{"MaxInFlight", n, forPacer, func(c *config) string {
		c.maxInFlight = n
		if n < 1 {
			return "must be at least 1"
		}
		return ""
	}}
}

// Careful keeps to a budget of refusals, for servers that ban: never a fifth within a minute,
// whatever the callee's limit and however it is counted, except for what was on its way at the
// first of them. A call goes only if refusals stay within the budget even if it and all calls under
// way were refused.
//
// Only while nothing was refused may more than four calls be on their way: one more for each 0.8
// seconds with eight answers, up to eight. An open server needs such a start. Its risk is a burst
// that lasts for seconds: when it is used up those calls may all be refused at once.
//
// The budget holds for refusals in plain words: a 429, a [retry.After] mark, [Refused],
// httpx.Refused. If a callee refuses by a bare 503, a reset or silence, these must first be told
// from noise, which costs a few. Calls made within calls (see [Pacer]) come on top. The budget is
// that of one pacer: two pacers for one callee spend two budgets.
//
// Its price is time. A refusal makes the next minute slow, three end the search in it, and four
// stop everything until the first of them is a minute old. On simulated servers drawn widely a
// careful pacer reaches 0.55 of the speed of a client that knows the limit, a usual one 0.64; with
// a jail of five a minute at the end of a burst 0.82 and no ban, a usual one 0.54. The command that
// prints the figures:
//
//	go run ./ratelimit/internal/pacing/figures
func Careful() Option {
	return Option{"Careful", none{}, forPacer, func(c *config) string {
		c.careful = true
		return ""
	}}
}

// Refused says which other errors are the callee's refusal: a 403, a page that asks for a human. An
// error that concerns one page only should not be among them: it would slow all calls. The function
// is asked about errors only, and must be safe for concurrent use. To httpx's client.Get an
// accepted 403 is a response and not an error: use httpx.Refused to say which responses are
// refusals.
func Refused(is func(error) bool) Option {
	o := Option{"Refused", nil, forPacer, func(c *config) string {
		c.refused = is
		if is == nil {
			return "must be a function"
		}
		return ""
	}}
	if is != nil {
		o.value = none{}
	}
	return o
}
