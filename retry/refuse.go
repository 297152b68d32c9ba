package retry

import "context"

// refuser is a policy that can refuse a call without looking at it: see [Policy].
type refuser interface {
	Refuse(ctx context.Context, p Policy) error
}

// ask looks for the scope around ctx, and asks p for a refusal before anything is made for a call:
// a guard is busiest while its callee is down. The policy is an argument, because a type that
// embeds another has its methods and perhaps another Do.
func ask(ctx context.Context, p Policy) (around *scope, refusal error) {
	if r, ok := p.(refuser); ok {
		if err := r.Refuse(ctx, p); err != nil {
			return nil, err
		}
	}
	around = scopeOf(ctx)
	if c, ok := p.(*chain); ok && c.guard != nil && around == nil { // no observer, no loop around
		return nil, c.refusal(ctx)
	}
	return around, nil
}

// passer is a retry loop that hands on a refusal of its first attempt as it is if PassesOn says so.
type passer interface {
	PassesOn(refusal error) bool
}

// front finds the members that decide over a refusal: loops, and behind them a guard that can
// refuse.
func front(members []Policy) (loops []passer, guard refuser) {
	for _, m := range members {
		if guard, ok := m.(refuser); ok {
			return loops, guard
		}
		loop, ok := m.(passer)
		if !ok {
			return nil, nil
		}
		loops = append(loops, loop)
	}
	return nil, nil
}

// refusal is what the guard says, if all loops around it hand that on.
func (c *chain) refusal(ctx context.Context) error {
	err := c.guard.Refuse(ctx, c.members[len(c.loops)])
	if err == nil {
		return nil
	}
	for _, loop := range c.loops {
		if !loop.PassesOn(err) {
			return nil
		}
	}
	return err
}
