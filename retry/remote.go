package retry

import (
	"context"
	"errors"
)

type remoteKey struct{}

// WithRemoteAttempt returns a context for work that a retry loop in another process asked for, as
// its given attempt, counted from 1: a server calls it for a caller that it trusts. [Attempt] is
// that number and [Depth] counts that loop. The loops of package policies leave the retrying to it
// and make one attempt each, as with policies.OutermostOnly: otherwise three services that call
// each other with three attempts each would make 27 calls. An n below 1 counts as 1.
func WithRemoteAttempt(ctx context.Context, n int) context.Context {
	around := scopeOf(ctx).load()
	st := state{
		attempt: narrow(max(1, n)), depth: around.depth + 1, watch: around.watch, at: beside,
	}
	r := &remote{inner{st: st}}
	r.put(ctx)
	return r
}

// remote is the scope of work that a loop in another process repeats.
type remote struct{ inner }

func (r *remote) Value(key any) any {
	if key == (remoteKey{}) {
		return true
	}
	return r.inner.Value(key)
}

// RemoteLoop reports whether a retry loop in another process repeats the work in ctx: see
// [WithRemoteAttempt].
func RemoteLoop(ctx context.Context) bool {
	remote, _ := ctx.Value(remoteKey{}).(bool)
	return remote
}

// Spent reports whether a caller in another process should not retry after err either: a loop here
// has repeated the call and exhausted its attempts, or the callee said the same of its own loop, by
// an error in the tree with a method RetriesSpent() bool.
func Spent(err error) bool {
	var told interface{ RetriesSpent() bool }
	if errors.As(err, &told) && told.RetriesSpent() {
		return true
	}
	var e *Error
	return errors.As(err, &e) && e.Attempts > 1 && errors.Is(e.Reason, ErrExhausted)
}
