package ratelimit

import (
	"errors"
	"fmt"

	"golang.org/x/time/rate"
)

// StartRate begins at r calls a second instead of searching. It is where the search begins, no bound.
func StartRate(r rate.Limit) Option {
	return Option{"StartRate", forPacer, func(c *config) error { c.startRate = r; return checkRate(r) }}
}

// MaxRate bounds the rate, whatever the callee would permit. The default, rate.Inf, is no bound.
func MaxRate(r rate.Limit) Option {
	return Option{"MaxRate", forPacer, func(c *config) error { c.maxRate = r; return checkRate(r) }}
}

// MaxInFlight bounds the calls on their way at once. Without it the callee is the only bound.
func MaxInFlight(n int) Option {
	return Option{"MaxInFlight", forPacer, func(c *config) error {
		c.maxInFlight = n
		if n < 1 {
			return fmt.Errorf("of %d lets no call go", n)
		}
		return nil
	}}
}

// Refused says which other errors are the callee's refusal: a 403, a page that asks for a human. It must be safe for concurrent use.
// An error that concerns one page only should not be among them: it would slow all. It hears of errors only: to httpx's client.Get
// an accepted 403 is a response and no error, so say there which responses are refusals, with httpx.Refused.
func Refused(is func(error) bool) Option {
	return Option{"Refused", forPacer, func(c *config) error {
		c.refused = is
		if is == nil {
			return errors.New("has no function")
		}
		return nil
	}}
}
