package retry

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Chain puts policies around each other: the first is the outermost.
//
//	Chain(retryLoop, breaker)   the breaker counts every attempt
//	Chain(breaker, retryLoop)   the breaker counts the outcome of the loop, once
//
// Chain() changes nothing about a call. Chains nest, nil members are skipped, and the arguments are
// copied: a chain never changes. If a member is misconfigured every call of the chain fails at once
// with that error, and nothing in it runs. Elsewhere this is Compose or a Pipeline.
func Chain(ps ...Policy) Policy {
	var members []Policy
	for _, p := range ps {
		switch p := p.(type) {
		case nil:
		case *chain:
			members = append(members, p.members...)
		default:
			members = append(members, p)
		}
	}
	switch len(members) {
	case 0:
		return identity
	case 1:
		return members[0]
	}
	c := &chain{members: members}
	lead, rest := leading(members)
	c.lead, c.rest = lead, linked(rest)
	if c.err = c.Validate(); c.err == nil {
		c.loops, c.guard = front(members)
	}
	return c
}

type chain struct {
	members []Policy
	err     error    // what Validate says of the members
	lead    *observe // the first members, if they are Observes
	rest    *link    // the others
	loops   []passer // the members around guard
	guard   refuser  // nil: there is none behind the loops
}

// identity is the empty chain: one value serves everybody.
var identity = &chain{}

func (c *chain) Do(ctx context.Context, next Next) error {
	if c.err != nil {
		return c.err
	}
	if len(c.members) == 0 {
		return next.Do(ctx)
	}
	rest := Next{rest: c.rest, end: next.end}
	if next.rest != nil { // a chain that a policy inside another chain runs, as Keyed does
		rest.end = &enclosing{Next{rest: next.rest, end: next.end}}
	}
	if c.lead != nil {
		return c.lead.Do(ctx, rest)
	}
	return rest.Do(ctx)
}

type enclosing struct{ next Next }

func (e *enclosing) run(ctx context.Context, at time.Duration) error {
	return e.next.At(at).Do(ctx)
}

// Validate joins what the members report.
func (c *chain) Validate() error { return Validate(c) }

func (c *chain) validate(around *layers) error {
	var all configErrors
	for _, p := range c.members {
		if err := validate(p, around); err != nil {
			all = append(all, err)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

// Idle is true if every member says so.
func (c *chain) Idle() bool { return Idle(c) }

func (c *chain) idle(around *layers) bool {
	for _, p := range c.members {
		if !idle(p, around) {
			return false
		}
	}
	return true
}

// Members yields the members, so that [Walk] finds them.
func (c *chain) Members(yield func(name string, p Policy) bool) {
	seen := map[string]int{}
	for _, p := range c.members {
		name := label(p)
		if seen[name]++; seen[name] > 1 {
			name += " " + strconv.Itoa(seen[name])
		}
		if !yield(name, p) {
			return
		}
	}
}

// String describes the members in their order: see [Describe].
func (c *chain) String() string { return Describe(c) }

func (c *chain) describe(around *layers) string {
	if len(c.members) == 0 {
		return "empty chain"
	}
	texts := make([]string, len(c.members))
	for i, p := range c.members {
		texts[i] = describe(p, around)
	}
	return strings.Join(texts, " -> ")
}
