package policies

import (
	"context"
	"sync"

	"github.com/reprise-go/reprise/retry"
)

// Coalesce makes one call for all callers that ask the same at once, as x/sync's singleflight does:
// a cache that a thousand requests miss at the same moment asks its source once. key says what is
// asked for. All callers of a key get the same answer, so the key must also hold who may see it:
// the tenant, the user.
//
// The call runs in its own goroutine, with the context values of the caller that came first and
// without any caller's deadline or cancellation. Each caller leaves when its own context ends; when
// the last one has left the call's context ends, and the next caller begins a new one.
//
// All get the same value and the same error. So no caller may change the value, and a value that
// can be read only once, as an *http.Response, cannot be shared. A panic, or runtime.Goexit, in
// call reaches all of them; if all have left a panic ends the program, as in any goroutine.
//
// A call that asks for its own key, with its own context, would wait for itself: it is made at once
// and shared with nobody.
//
// A nil function is a [retry.ErrConfig] of every call. retry.Validate sees policies only, so not
// this.
func Coalesce[K comparable, T any](
	key func(context.Context) K, call func(context.Context) (T, error),
) func(context.Context) (T, error) {
	g := &flights[K, T]{call: call, running: map[K]*flight[T]{}}
	var m mistakes
	m.check(key != nil && call != nil, "nil function")
	return guarded(m.in("Coalesce"), func(ctx context.Context) (T, error) {
		k := key(ctx)
		if k != k { // NaN, which nobody else asks for
			return call(ctx)
		}
		if g.inside(ctx, k) {
			return call(ctx)
		}
		return g.ask(ctx, k)
	})
}

type flights[K comparable, T any] struct {
	call func(context.Context) (T, error)

	mu      sync.Mutex
	running map[K]*flight[T]
}

// flight is one call and its waiters.
type flight[T any] struct {
	callers int // guarded by the lock of flights
	cancel  context.CancelFunc
	done    chan struct{} // closed when out is there
	out     outcome[T]
}

// aboard is the context key under which a flight stands in its own context.
type aboard[K comparable, T any] struct {
	flights *flights[K, T]
	key     K
}

// inside reports whether ctx belongs to the call of key that is under way.
func (g *flights[K, T]) inside(ctx context.Context, key K) bool {
	f, ok := ctx.Value(aboard[K, T]{g, key}).(*flight[T])
	if !ok {
		return false
	}
	select {
	case <-f.done: // a context that was kept
		return false
	default:
		return true
	}
}

func (g *flights[K, T]) ask(ctx context.Context, key K) (T, error) {
	f := g.join(ctx, key)
	select {
	case <-f.done:
	case <-ctx.Done():
		if g.leave(key, f) {
			var zero T
			return zero, retry.Ended(ctx)
		}
	}
	f.out.raise()
	return f.out.value, f.out.err
}

func (g *flights[K, T]) join(ctx context.Context, key K) *flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	f := g.running[key]
	if f == nil {
		f = &flight[T]{done: make(chan struct{})}
		var inner context.Context
		inner = context.WithValue(context.WithoutCancel(ctx), aboard[K, T]{g, key}, f)
		inner, f.cancel = context.WithCancel(inner)
		g.running[key] = f
		go g.fly(inner, key, f)
	}
	f.callers++
	return f
}

// leave is false if the outcome has come in the same moment.
func (g *flights[K, T]) leave(key K, f *flight[T]) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-f.done:
		return false
	default:
	}
	if f.callers--; f.callers == 0 {
		f.cancel()
		g.forget(key, f)
	}
	return true
}

// forget makes the next caller begin a new call. g.mu must be held.
func (g *flights[K, T]) forget(key K, f *flight[T]) {
	if g.running[key] == f {
		delete(g.running, key)
	}
}

func (g *flights[K, T]) fly(ctx context.Context, key K, f *flight[T]) {
	defer f.cancel()
	catch(ctx, g.call, func(out outcome[T]) {
		if g.land(key, f, out) == 0 && out.panicked {
			panic(out.with)
		}
	})
}

// land hands the outcome to the waiters, and returns how many they are.
func (g *flights[K, T]) land(key K, f *flight[T], out outcome[T]) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	f.out = out
	close(f.done)
	g.forget(key, f)
	return f.callers
}
