package breaker

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// hub asks one store for all breakers of the process that are in use, and exists as long as there
// are any. A timer starts each question, so that no goroutine waits between two.
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

// enroll makes the hub of b's store ask for b, too, within d.
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
	case left > d || left < -time.Minute: // so late is a timer of a synctest bubble that has ended
		h.arm(d)
	}
}

// arm sets a new timer. hubs is locked. Older timers are not stopped, since a timer of a synctest
// bubble must not be touched from outside: they find that they are not the present one.
func (h *hub) arm(d time.Duration) {
	h.armed++
	h.due = time.Now().Add(d)
	mine := h.armed
	// Not 0: in a synctest bubble that runs at once, and Go 1.26 may crash under the race detector.
	time.AfterFunc(max(d, time.Nanosecond), func() { h.ask(mine) })
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

	var all []question
	for _, b := range members {
		r, done, used := b.report()
		if used || h.wanted(b) {
			all = append(all, question{b, r, done})
		}
	}
	if len(all) > 0 {
		h.exchange(all)
	}
	h.next()
}

// wanted reports whether to ask for b although it is not used, because it has enrolled since. If
// not, it is left out until it enrolls again.
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

// question is what one breaker has to say and to ask.
type question struct {
	from *Breaker
	mine Report
	done *result
}

// answer is what it hears.
type answer struct {
	fleet Fleet
	told  *result // the outcome of a probe, which the store knows now
}

var (
	errSilent    = fmt.Errorf("breaker: the store has not answered within %v", patience)
	errSenseless = errors.New("breaker: the store's answer makes no sense")
)

// exchange asks, and has the breakers follow the answers.
func (h *hub) exchange(all []question) {
	var answers []answer
	err := errSilent
	if !h.isStuck() { // one question that was given up is enough
		answers, err = asking(context.Background(), func(ctx context.Context) ([]answer, error) {
			return put(ctx, h.key.store, all)
		}, h.setStuck)
	}
	for i, q := range all {
		var a answer
		if i < len(answers) {
			a = answers[i]
		}
		q.from.hear(a.fleet, a.told, err)
	}
}

func (h *hub) isStuck() bool {
	hubs.Lock()
	defer hubs.Unlock()
	return h.stuck
}

func (h *hub) setStuck(stuck bool) {
	hubs.Lock()
	defer hubs.Unlock()
	h.stuck = stuck
}

func put(ctx context.Context, s Store, all []question) ([]answer, error) {
	answers, mine := make([]answer, len(all)), make([]Report, len(all))
	for i, q := range all {
		mine[i] = q.mine
		if q.done != nil && tell(ctx, s, q.mine, *q.done) == nil {
			answers[i].told = q.done
		}
	}
	fleets, err := s.Exchange(ctx, mine)
	for i := range min(len(fleets), len(answers)) {
		answers[i].fleet = fleets[i]
	}
	return answers, err
}

// tell tells a store the outcome of a probe.
func tell(ctx context.Context, s Store, r Report, done result) error {
	if done.outcome == success || done.outcome == failure {
		return s.Done(ctx, r.Name, r.Member, done.era, done.outcome == success)
	}
	_, err := s.Probe(ctx, r.Name, r.Member, done.era, 0)
	return err
}

// asking calls f and returns when f does, patience is over or ctx ends, even if f does not heed its
// context. stuck is told true before the call and false when f has returned.
func asking[T any](
	ctx context.Context, f func(context.Context) (T, error), stuck func(bool),
) (T, error) {
	type returned struct {
		value T
		err   error
	}
	ctx, stop := context.WithTimeoutCause(ctx, patience, errSilent)
	c := make(chan returned, 1)
	stuck(true)
	go func() {
		a := returned{err: errors.New("breaker: the store has ended its goroutine")}
		defer func() {
			if p := recover(); p != nil {
				a.err = fmt.Errorf("breaker: the store has panicked: %v", p)
			}
			stuck(false)
			c <- a
			stop() // not earlier: the end of ctx is taken for the end of patience
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
