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
// A call that asks for its own key, with its own context, would wait for itself, and so would two
// calls that ask for each other's keys, perhaps of two Coalesces: such a call is made at once and
// shared with nobody.
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
	asker
	callers int // guarded by the lock of flights
	cancel  context.CancelFunc
	done    chan struct{} // closed when out is there
	out     outcome[T]
}

// asker is a flight of any Coalesce as one that waits for others.
type asker struct {
	waits map[*asker]int // the flights that it waits for; guarded by askers
}

var askers sync.Mutex

// askerKey is the context key under which a flight stands in its own context.
type askerKey struct{}

// begins notes that a waits for other; false if other waits for a, itself or by others, or is a. A
// nil a is a call that nobody can wait for.
func (a *asker) begins(other *asker) bool {
	if a == nil {
		return true
	}
	askers.Lock()
	defer askers.Unlock()
	if other.reaches(a, map[*asker]bool{}) {
		return false
	}
	if a.waits == nil {
		a.waits = map[*asker]int{}
	}
	a.waits[other]++
	return true
}

// ends takes back what begins noted.
func (a *asker) ends(other *asker) {
	if a == nil {
		return
	}
	askers.Lock()
	defer askers.Unlock()
	if a.waits[other]--; a.waits[other] == 0 {
		delete(a.waits, other)
	}
}

// reaches reports whether a is other or waits for it. It skips and adds to those seen. It requires
// that askers is held.
func (a *asker) reaches(other *asker, seen map[*asker]bool) bool {
	if a == other {
		return true
	}
	if seen[a] {
		return false
	}
	seen[a] = true
	for next := range a.waits {
		if next.reaches(other, seen) {
			return true
		}
	}
	return false
}

func (g *flights[K, T]) ask(ctx context.Context, key K) (T, error) {
	by, _ := ctx.Value(askerKey{}).(*asker)
	f := g.join(ctx, by, key)
	if f == nil {
		return g.call(ctx)
	}
	defer by.ends(&f.asker)
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

// join returns the flight of key, which it begins if there is none; nil if that waits for by.
func (g *flights[K, T]) join(ctx context.Context, by *asker, key K) *flight[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	f, ok := g.running[key]
	if !ok {
		f = &flight[T]{done: make(chan struct{})}
	}
	if !by.begins(&f.asker) {
		return nil
	}
	if !ok {
		var inner context.Context
		inner = context.WithValue(context.WithoutCancel(ctx), askerKey{}, &f.asker)
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
