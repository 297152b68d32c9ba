package retry

import "context"

// refuser is a policy that can refuse a call without looking at it: see [Policy].
type refuser interface {
	Refuse(ctx context.Context, p Policy) error
}

// way is what Do has to prepare for a call.
type way struct {
	around *scope   // the innermost scope around the call
	watch  bool     // somebody observes the call
	lead   *observe // the observers that the scope of the call is opened for
}

// enter looks at what is around ctx and in p, and asks p for a refusal before anything is allocated
// for the call, because a guard is busiest while its callee is down. The policy is an argument of
// Refuse, because a type that embeds another has its methods and perhaps another Do.
func enter(ctx context.Context, p Policy) (w way, refusal error) {
	switch q := p.(type) {
	case *chain:
		w.around, w.lead = scopeOf(ctx), q.lead
		switch {
		case w.around != nil: // even an empty chain then has a scope, which keeps reports in
		case q.guard != nil:
			return w, q.refusal(ctx)
		}
	case *observe:
		w.around, w.lead = scopeOf(ctx), q
	default:
		if r, ok := p.(refuser); ok {
			if err := r.Refuse(ctx, p); err != nil {
				return w, err
			}
		}
		w.around = scopeOf(ctx)
	}
	w.watch = w.lead != nil || w.around.observed()
	return w, nil
}

// passer is a retry loop that hands on a refusal of its first attempt as it is if PassesOn says so.
type passer interface {
	PassesOn(refusal error) bool
}

// front finds the members that decide about a refusal: loops, and behind them a guard that can
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

// refusal is the guard's refusal, if all loops around it hand that on.
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
