package ratelimit

import "golang.org/x/time/rate"

// StartRate begins at r calls a second instead of searching. It is where the search begins, not a bound.
func StartRate(r rate.Limit) Option {
	return Option{"StartRate", r, forPacer, func(c *config) string { c.startRate = r; return positive(r) }}
}

// MaxRate bounds the rate, whatever the callee would permit. The default, rate.Inf, is no bound.
func MaxRate(r rate.Limit) Option {
	return Option{"MaxRate", r, forPacer, func(c *config) string { c.maxRate = r; return positive(r) }}
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

// Refused says which other errors are the callee's refusal: a 403, a page that asks for a human. It must be safe for concurrent use.
// An error that concerns one page only should not be among them: it would slow all. It hears of errors only: to httpx's client.Get
// an accepted 403 is a response and no error, so say there which responses are refusals, with httpx.Refused.
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
