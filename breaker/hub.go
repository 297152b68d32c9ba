package breaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// hub asks one store for all breakers of the process that are in use. It lives as long as there are
// any, and by timers: between the questions there is no goroutine.
type hub struct {
	key    hubKey
	in     map[*Breaker]bool // true: it has enrolled since the last question
	armed  uint64            // which timer is the present one
	due    time.Time         // when it ends
	asking bool
	again  bool // as soon as the question under way is answered
	stuck  bool // a question that was given up has not returned
}

type hubKey struct {
	store Store
	every time.Duration
}

var hubs = struct {
	sync.Mutex // guards the hubs too
	of         map[hubKey]*hub
}{of: map[hubKey]*hub{}}

// enroll has the store asked for b, in d at the latest if it was not already.
func enroll(b *Breaker, d time.Duration) {
	key := hubKey{b.member.store, b.member.every}
	hubs.Lock()
	defer hubs.Unlock()
	h := hubs.of[key]
	if h == nil {
		h = &hub{key: key, in: map[*Breaker]bool{}}
		hubs.of[key] = h
	}
	h.in[b] = true
	left := time.Until(h.due)
	switch {
	case h.asking:
		h.again = h.again || d == 0
	case left > d || left < -time.Minute: // the latter: that timer is of a synctest bubble that has ended
		h.arm(d)
	}
}

// arm sets the timer. hubs is locked. Older timers find that they are not the present one; they are
// not stopped, since a timer of a synctest bubble must not be touched from outside.
func (h *hub) arm(d time.Duration) {
	h.armed++
	h.due = time.Now().Add(d)
	mine := h.armed
	time.AfterFunc(d, func() { h.ask(mine) })
}

// ask asks once, and arms the timer for the next time.
func (h *hub) ask(mine uint64) {
	hubs.Lock()
	if mine != h.armed || h.asking {
		hubs.Unlock()
		return
	}
	h.asking, h.again = true, false
	members := make([]*Breaker, 0, len(h.in))
	for b := range h.in {
		members = append(members, b)
		h.in[b] = false
	}
	hubs.Unlock()

	var q question
	for _, b := range members {
		r, done, changes, used := b.report()
		if used || h.wanted(b) {
			q.add(b, r, done, changes)
		}
	}
	if len(q.from) > 0 {
		h.exchange(&q)
	}
	h.next()
}

// wanted reports whether b is to be asked for although it is not used. If not, it is left out until
// it calls for attention.
func (h *hub) wanted(b *Breaker) bool {
	hubs.Lock()
	defer hubs.Unlock()
	if h.in[b] {
		h.in[b] = false
		return true
	}
	delete(h.in, b)
	b.member.attention.Store(true)
	return false
}

func (h *hub) next() {
	hubs.Lock()
	defer hubs.Unlock()
	h.asking = false
	switch {
	case len(h.in) == 0:
		delete(hubs.of, h.key)
	case h.again:
		h.arm(0)
	default:
		h.arm(time.Duration(float64(h.key.every) * (0.8 + 0.4*rand.Float64())))
	}
}

// question is one exchange with a store.
type question struct {
	from    []*Breaker
	mine    []Report
	done    []*result
	changes []uint64
}

func (q *question) add(b *Breaker, r Report, done *result, changes uint64) {
	q.from, q.mine = append(q.from, b), append(q.mine, r)
	q.done, q.changes = append(q.done, done), append(q.changes, changes)
}

var (
	errSilent    = fmt.Errorf("breaker: the store has not answered within %v", patience)
	errSenseless = errors.New("breaker: the store's answer makes no sense")
)

// exchange asks, and has the breakers follow the answers.
func (h *hub) exchange(q *question) {
	type answers struct {
		fleets []Fleet
		told   []bool // the outcome of the probe
		err    error
	}
	a, err := answers{}, errSilent
	hubs.Lock()
	free := !h.stuck
	hubs.Unlock()
	if free {
		a, err = asking(context.Background(), func(ctx context.Context) (a answers, err error) {
			a.told = make([]bool, len(q.from))
			for i, r := range q.done {
				if r != nil && err == nil {
					if err = tell(ctx, h.key.store, q.mine[i], *r); err == nil {
						a.told[i] = true
						q.mine[i].Era = max(q.mine[i].Era, r.next())
					}
				}
			}
			if err == nil {
				a.fleets, err = h.key.store.Exchange(ctx, q.mine)
			}
			a.err = err
			return a, nil
		}, func(stuck bool) {
			hubs.Lock()
			h.stuck = stuck
			hubs.Unlock()
		})
		if err == nil {
			err = a.err
		}
	}
	for i, b := range q.from {
		var f Fleet
		if i < len(a.fleets) {
			f = a.fleets[i]
		}
		var told *result
		if i < len(a.told) && a.told[i] {
			told = q.done[i]
		}
		b.hear(f, told, q.changes[i], err)
	}
}

// tell tells a store the outcome of a probe.
func tell(ctx context.Context, s Store, r Report, done result) error {
	if done.outcome == success || done.outcome == failure {
		return s.Done(ctx, r.Name, r.Member, done.era, done.outcome == success)
	}
	_, err := s.Probe(ctx, r.Name, r.Member, done.era, 0)
	return err
}

// asking calls f with a limit of time, and returns when that is over, or ctx ends, whatever f does.
// Until then, and for as long as f goes on after that, stuck was last told true.
func asking[T any](ctx context.Context, f func(context.Context) (T, error), stuck func(bool)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	ctx, stop := context.WithTimeoutCause(ctx, patience, errSilent)
	c := make(chan answer, 1)
	stuck(true)
	go func() {
		a := answer{err: errors.New("breaker: the store has ended its goroutine")}
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("breaker: the store has panicked: %v", p)
			}
			stuck(false)
			c <- a
			stop() // not earlier: the end of ctx is the end of patience
		}()
		a.value, a.err = f(ctx)
	}()
	select {
	case a := <-c:
		return a.value, a.err
	case <-ctx.Done():
	}
	select { // it may have come with the answer
	case a := <-c:
		return a.value, a.err
	default:
		var none T
		return none, context.Cause(ctx)
	}
}
