package policies

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// Jitter is how the waits of a schedule are spread. Each wait is drawn within the cap of the
// schedule and not cut down to it: otherwise half of the waits near the cap would be the cap
// itself, and the callers would come back together again.
type Jitter uint8

// The kinds of jitter, for a wait of d. The zero Jitter is not valid. Equal, Full and Decorrelated
// are those of Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
const (
	NoJitter     Jitter = iota + 1 // d
	Proportional                   // between d/2 and 1.5 d, as cenkalti/backoff does
	Equal                          // between d/2 and d
	Full                           // between 0 and d
	Decorrelated                   // between the first wait and three times the one before
)

// jitters are their names, and how a loop tells its jitter.
var jitters = [...]struct{ name, text string }{
	NoJitter:     {name: "NoJitter"},
	Proportional: {"Proportional", "±50 %"},
	Equal:        {"Equal", "equal jitter"},
	Full:         {"Full", "full jitter"},
	Decorrelated: {"Decorrelated", "decorrelated jitter"},
}

func (j Jitter) known() bool { return j >= NoJitter && j <= Decorrelated }

func (j Jitter) String() string {
	if !j.known() {
		return "Jitter(" + strconv.Itoa(int(j)) + ")"
	}
	return jitters[j].name
}

// UnmarshalText takes the name of a jitter, in any case: "Full", "nojitter". It is for
// configuration files; any other text is an error that Is [retry.ErrConfig].
func (j *Jitter) UnmarshalText(text []byte) error {
	var names []string
	for known := NoJitter; known.known(); known++ {
		if strings.EqualFold(known.String(), string(text)) {
			*j = known
			return nil
		}
		names = append(names, known.String())
	}
	must := "must be one of " + strings.Join(names, ", ")
	return retry.ConfigErrorf("policies.Jitter", "%q: %s", text, must)
}

// MarshalText is the name; an error for what is not a jitter of this package.
func (j Jitter) MarshalText() ([]byte, error) {
	name := []byte(j.String())
	return name, new(Jitter).UnmarshalText(name)
}

// spread draws a wait for d, which is at most limit. first is the first wait of the schedule and
// previous the one that was drawn before this, 0 if none.
func (j Jitter) spread(d, first, previous, limit time.Duration) time.Duration {
	switch j {
	case Proportional:
		return between(d-d/2, d+min(d/2, limit-d))
	case Equal:
		return between(d-d/2, d)
	case Full:
		return between(0, d)
	case Decorrelated:
		before := max(first, previous)
		return between(first, before+min(2*min(before, limit/2), limit-before))
	}
	return d
}

// between draws from [low, high] in whole nanoseconds, over the whole range of a duration.
func between(low, high time.Duration) time.Duration {
	if low >= high {
		return low
	}
	return low + time.Duration(rand.Uint64N(uint64(high-low)+1))
}
