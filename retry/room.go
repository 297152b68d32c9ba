package retry

import (
	"context"
	"time"
)

// Room is the memory that [Run] needs for one call. It is for a middleware that allocates something
// for each call anyway: if that holds a Room, the call needs no further allocation. The zero Room
// is ready. It serves one call, and its memory must not be used again afterwards, because somebody
// may keep the call's context.
type Room struct {
	node watched
	call interface{ Call(context.Context) error }
}

// Run is the function Run for the method Call of call. A second Run of the same Room is a
// configuration error.
func (r *Room) Run(
	ctx context.Context, p Policy, call interface{ Call(context.Context) error },
) error {
	switch {
	case call == nil:
		return errNilCall
	case p == nil || p == Policy(identity): // there is little to remember
		return Run(ctx, p, call.Call)
	case r.call != nil:
		return errRoomTaken
	}
	w, err := enter(ctx, p)
	if err != nil {
		return WithEnd(ctx, err)
	}
	r.call = call
	if w.watch {
		r.node.open(ctx, w.around, w.lead)
		return WithEnd(ctx, r.node.through(p, (*roomJob)(r)))
	}
	r.node.Context = ctx
	if w.around != nil {
		r.node.scope.open(w.around)
	}
	return WithEnd(ctx, p.Do(&r.node.scope, Next{end: (*roomJob)(r)}))
}

var errRoomTaken = ConfigErrorf("retry.Room", "second Run: must be one for each call")

// roomJob is the end of the chain of a Room.
type roomJob Room

func (r *roomJob) run(ctx context.Context, at time.Duration) error {
	if Wanted(ctx, KindCall) {
		return plainJob(r.call.Call).told(ctx, at)
	}
	return r.call.Call(ctx)
}
