package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/reprise-go/reprise/internal/pacing"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Pacer is a policy that learns how fast its callee lets it go, and goes so fast. It starts with a few calls in flight and adds
// to them until the callee refuses; then it rests, measures what was accepted, and keeps to that, with a careful look from time
// to time whether more is possible. Waiting calls go first in, first out.
//
// An outcome is a refusal if it is marked by [retry.After] (httpx marks a 429 and a 503 with Retry-After) or if [Refused] says so.
// It pauses every caller of the pacer, and however many calls in flight bring one, it counts once. A bare 503, a reset and a body
// cut off are refusals only where the callee proves to refuse that way. A 500, 502, 504 or a timeout was admitted and says nothing
// of the rate; nor does a call that its caller gave up. What a callee states of its quota ([retry.Report]) is kept to: the pace is
// what remains over the time to its reset.
//
// A pacer stands for one limit: share it among all who are under that limit, one for each host (policies.Keyed). Put it inside
// the retry loop, so that retries are paced too, and outside of a breaker.
//
// A Pacer is safe for concurrent use. The zero Pacer is a configuration error; make one with [NewPacer].
type Pacer struct {
	config
	invalid error

	mu      sync.Mutex
	machine *pacing.Machine
	base    time.Time // of the machine's time
	used    bool
	cause   error // the last refusal
	line    places
	timer   *time.Timer // for the head of the line; nil before the first wait
	wakeAt  float64     // when it goes off; 0: not at all
}

// NewPacer makes a pacer that knows nothing yet.
//
// Options: [StartRate], [MaxRate], [MaxInFlight], [MaxWait], [HintCap], [Refused]. Without them it searches from the start, the
// callee is the only bound, and a call waits as long as its context allows.
func NewPacer(opts ...Option) *Pacer {
	return newPacer(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), opts)
}

func newPacer(rng *rand.Rand, opts []Option) *Pacer {
	c, err := configure(pacerName, forPacer, opts)
	p := &Pacer{config: c, invalid: err, base: time.Now()}
	var m pacing.Config
	m.StartRate, m.MaxInFlight = float64(c.startRate), c.maxInFlight
	if c.maxRate != rate.Inf {
		m.MaxRate = float64(c.maxRate)
	}
	p.machine = pacing.New(m, rng)
	return p
}

const pacerName = "pacer"

// StartRate begins at r calls a second instead of searching. It is where the search begins, no bound.
func StartRate(r rate.Limit) Option {
	return Option{"StartRate", forPacer, func(c *config) error { c.startRate = r; return checkRate(r) }}
}

// MaxRate bounds the rate, whatever the callee would permit. The default, rate.Inf, is no bound.
func MaxRate(r rate.Limit) Option {
	return Option{"MaxRate", forPacer, func(c *config) error { c.maxRate = r; return checkRate(r) }}
}

// MaxInFlight bounds the calls on their way at once. Without it the callee is the only bound.
func MaxInFlight(n int) Option {
	return Option{"MaxInFlight", forPacer, func(c *config) error {
		c.maxInFlight = n
		if n < 1 {
			return fmt.Errorf("of %d lets no call go", n)
		}
		return nil
	}}
}

// Refused says which other errors are the callee's refusal: a 403, a page that asks for a human. It must be safe for concurrent use.
// An error that concerns one page only should not be among them: it would slow all.
func Refused(is func(error) bool) Option {
	return Option{"Refused", forPacer, func(c *config) error {
		c.refused = is
		if is == nil {
			return errors.New("has no function")
		}
		return nil
	}}
}

var errZeroPacer = retry.ConfigErrorf(pacerName, "the zero Pacer is not ready: use NewPacer")

// Validate reports a configuration error.
func (p *Pacer) Validate() error {
	if p.machine == nil {
		return errZeroPacer
	}
	return p.invalid
}

// pacedCall is an admitted call.
type pacedCall struct {
	pacing.Ticket
	at time.Time
}

// Do lets the call go when it is its turn, or refuses it: with a [*retry.Rejection] that Is [ErrLimited] and carries the wait,
// where that would be longer than [MaxWait], or than the context lives, which also Is context.DeadlineExceeded.
func (p *Pacer) Do(ctx context.Context, next retry.Next) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	c, err := p.admit(ctx)
	if err != nil {
		return err
	}
	returned := false
	defer func() {
		if !returned { // panic or Goexit: the call was made, and says nothing
			p.settle(ctx, c, pacing.Answer{}, noVerdict, nil)
		}
	}()
	err = next.Do(ctx)
	returned = true
	a, v := p.classify(ctx, c, err)
	p.settle(ctx, c, a, v, err)
	return err
}

// seconds is the machine's time at t.
func (p *Pacer) seconds(t time.Time) float64 { return t.Sub(p.base).Seconds() }

// admit waits for the call's turn.
func (p *Pacer) admit(ctx context.Context) (pacedCall, error) {
	at := time.Now()
	p.mu.Lock()
	now := p.seconds(at)
	p.used = true
	if p.line.head == nil && p.machine.NextSend(now) <= now {
		c := pacedCall{p.machine.OnSend(now), at}
		p.mu.Unlock()
		return c, nil
	}
	wait := p.expect(now, p.line.len)
	w := &place{ready: make(chan struct{}), patience: math.Inf(1)}
	w.deadline = math.Inf(1)
	if d, ok := ctx.Deadline(); ok {
		w.deadline = p.seconds(d)
	}
	if p.maxWait >= 0 {
		w.patience = now + p.maxWait.Seconds()
	}
	if err := p.hopeless(w, now, wait); err != nil || p.maxWait == 0 {
		if err == nil {
			err = p.rejection(ErrLimited, wait)
		}
		p.mu.Unlock()
		retry.Emit(ctx, retry.Event{Kind: retry.KindReject, Policy: pacerName, Wait: wait, Err: err})
		return pacedCall{}, err
	}
	p.line.push(w)
	p.dispatch(now)
	p.mu.Unlock()
	err := p.stand(ctx, w)
	retry.Emit(ctx, retry.Event{Kind: retry.KindWait, Policy: pacerName, Wait: wait, Took: time.Since(at), Err: err})
	return pacedCall{w.ticket, w.at}, err
}

// stand waits in line.
func (p *Pacer) stand(ctx context.Context, w *place) error {
	var patience <-chan time.Time
	if p.maxWait > 0 {
		t := time.NewTimer(p.maxWait)
		defer t.Stop()
		patience = t.C
	}
	select {
	case <-w.ready:
	case <-patience:
	case <-ctx.Done():
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.seconds(time.Now())
	ended := retry.Ended(ctx)
	switch {
	case w.err != nil:
		return w.err
	case w.gone && ended == nil:
		return nil
	case w.gone: // its turn came together with its end
		p.machine.OnCancel(w.ticket, false)
		p.dispatch(now)
		return ended
	}
	p.line.remove(w)
	p.dispatch(now)
	if ended != nil {
		return ended
	}
	return p.rejection(ErrLimited, p.expect(now, 0))
}

// expect is how long a call with n before it has to wait at least. It requires that p.mu is held.
func (p *Pacer) expect(now float64, n int) time.Duration {
	wait := 0.0
	if next := p.machine.NextSend(now); !math.IsInf(next, 1) {
		wait = next - now
	} else if gate, parked := p.machine.Parked(); parked {
		wait = max(0, gate-now)
	}
	if r := p.machine.Pace(now); n > 0 && !math.IsInf(r, 1) {
		wait += float64(n) / r
	}
	return duration(wait)
}

// duration is s seconds, rounded up.
func duration(s float64) time.Duration {
	if ns := math.Ceil(s * 1e9); ns < math.MaxInt64 {
		return time.Duration(ns)
	}
	return math.MaxInt64
}

// hopeless is the rejection of a wait that cannot end in time; nil if it can.
func (p *Pacer) hopeless(w *place, now float64, wait time.Duration) error {
	ends := now + wait.Seconds()
	switch {
	case wait > 0 && ends >= w.deadline:
		return p.rejection(errLimitedByDeadline, wait)
	case ends > w.patience:
		return p.rejection(ErrLimited, wait)
	}
	return nil
}

func (p *Pacer) rejection(reason error, wait time.Duration) error {
	return &retry.Rejection{Policy: pacerName, Reason: reason, RetryAfter: wait, Cause: p.cause}
}

// dispatch lets those go whose turn has come, and sets the timer for the next. It requires that p.mu is held.
func (p *Pacer) dispatch(now float64) {
	for p.line.head != nil {
		next := p.machine.NextSend(now)
		if next > now {
			p.wake(now, next)
			return
		}
		w := p.line.head
		p.line.remove(w)
		w.ticket, w.at, w.gone = p.machine.OnSend(now), time.Now(), true
		close(w.ready)
	}
}

// wake has dispatch called at the given time, once. It requires that p.mu is held.
func (p *Pacer) wake(now, at float64) {
	if at == p.wakeAt || math.IsInf(at, 1) {
		return
	}
	p.wakeAt = at
	d := duration(at - now)
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.ring)
		return
	}
	p.timer.Reset(d)
}

func (p *Pacer) ring() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.wakeAt = 0
	p.dispatch(p.seconds(time.Now()))
}

// dismiss refuses those in line whose wait has become hopeless. It requires that p.mu is held.
func (p *Pacer) dismiss(now float64) {
	n := 0
	for w := p.line.head; w != nil; {
		next := w.next
		if err := p.hopeless(w, now, p.expect(now, n)); err != nil {
			p.line.remove(w)
			w.err = err
			close(w.ready)
		} else {
			n++
		}
		w = next
	}
}

// verdict is whether an outcome says something of the callee.
type verdict uint8

const (
	answer    verdict = iota
	noVerdict         // it was called, and nobody knows what it thought
	notMade           // it was not called
)

// classify says what an outcome means for the pace.
func (p *Pacer) classify(ctx context.Context, c pacedCall, err error) (pacing.Answer, verdict) {
	a := pacing.Answer{RetryAfter: -1, Remaining: -1}
	if q, ok := retry.Reported(ctx, c.at); ok && p.hintCap > 0 {
		if q.Limit > 0 || q.Reset > 0 {
			a.Remaining = q.Remaining
		}
		a.Reset = min(q.Reset, p.hintCap).Seconds()
		a.Limit, a.Window = q.Limit, q.Window.Seconds()
	}
	if err == nil {
		return a, answer
	}
	if !made(err) {
		return a, notMade
	}
	if wait, refused := calleesWish(err); refused || p.refused != nil && p.refused(err) {
		a.Kind = pacing.Refusal
		if wait = min(wait, p.hintCap); wait > 0 {
			a.RetryAfter = wait.Seconds()
		}
		return a, answer
	}
	if ctx.Err() != nil {
		return a, noVerdict
	}
	kind, v := kindOf(err)
	a.Kind = kind
	return a, v
}

// kindOf is classify for an error that is no plain refusal.
func kindOf(err error) (pacing.Kind, verdict) {
	var status interface{ StatusCode() int }
	if errors.As(err, &status) {
		switch code := status.StatusCode(); {
		case code == 503:
			return pacing.Doubt, answer
		case code >= 500:
			return pacing.Trouble, answer
		}
		return pacing.Fine, answer
	}
	var (
		dial *net.OpError
		dns  *net.DNSError
		slow net.Error
	)
	switch {
	case errors.As(err, &dns), errors.As(err, &dial) && dial.Op == "dial":
		return 0, noVerdict // it was not reached
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return pacing.Doubt, answer
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		return pacing.Trouble, answer
	}
	return pacing.Fine, answer
}

// settle tells the machine what came of a call, and whoever observes what it made of it.
func (p *Pacer) settle(ctx context.Context, c pacedCall, a pacing.Answer, v verdict, err error) {
	p.mu.Lock()
	now := p.seconds(time.Now())
	mode, r := p.machine.Mode(), p.machine.Rate()
	gate, parked := p.machine.Parked()
	if v == answer {
		p.machine.OnDone(now, c.Ticket, a)
	} else {
		p.machine.OnCancel(c.Ticket, v == noVerdict)
	}
	if a.Kind == pacing.Refusal {
		p.cause = err
	}
	newGate, nowParked := p.machine.Parked()
	if nowParked && (!parked || newGate > gate) {
		p.dismiss(now)
	}
	var note string
	switch {
	case nowParked && (!parked || newGate > gate):
		note = fmt.Sprintf("parked for %v, then one call", duration(newGate-now).Round(time.Millisecond))
	case nowParked:
	case parked || mode != p.machine.Mode() || r != p.machine.Rate():
		note = fmt.Sprintf("%v %s -> %v %s", mode, perSecond(r), p.machine.Mode(), perSecond(p.machine.Rate()))
	}
	p.dispatch(now)
	p.mu.Unlock()
	if note != "" {
		retry.Emit(ctx, retry.Event{Kind: retry.KindChange, Policy: pacerName, Wait: max(0, duration(newGate-now)), Err: err, Note: note})
	}
}

func perSecond(r float64) string {
	if math.IsInf(r, 1) {
		return "without a rate"
	}
	return fmt.Sprintf("at %.3g/s", r)
}

// Rate is the rate learned so far; rate.Inf before anything was.
func (p *Pacer) Rate() rate.Limit { return p.State().Rate }

// PacerState is what a pacer is doing.
type PacerState struct {
	Mode        string        // "start": no rate known; "climb": searching upward; "cruise": keeping a rate
	Rate        rate.Limit    // calls a second learned; rate.Inf: none
	Parked      bool          // refused, and nobody was admitted since
	Wait        time.Duration // if Parked: until the next call may go; 0: one is on its way, or may go
	InFlight    int
	MaxInFlight int // learned, and never above the option
	Waiting     int
}

// State returns what the pacer is doing.
func (p *Pacer) State() PacerState {
	if p.machine == nil {
		return PacerState{Rate: rate.Inf}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.seconds(time.Now())
	s := PacerState{Mode: p.machine.Mode().String(), Rate: rate.Inf, Waiting: p.line.len}
	if r := p.machine.Rate(); !math.IsInf(r, 1) {
		s.Rate = rate.Limit(r)
	}
	s.InFlight, s.MaxInFlight = p.machine.InFlight()
	gate, parked := p.machine.Parked()
	if s.Parked = parked; parked {
		s.Wait = duration(max(0, gate-now))
	}
	return s
}

// String is one readable line.
func (p *Pacer) String() string {
	if err := p.Validate(); err != nil {
		return err.Error()
	}
	s := p.State()
	r := math.Inf(1)
	if s.Rate != rate.Inf {
		r = float64(s.Rate)
	}
	line := fmt.Sprintf("%s %s %s, %d of %d in flight", pacerName, s.Mode, perSecond(r), s.InFlight, s.MaxInFlight)
	if s.Parked {
		line += fmt.Sprintf(", parked for %v", s.Wait.Round(time.Millisecond))
	}
	if s.Waiting > 0 {
		line += fmt.Sprintf(", %d waiting", s.Waiting)
	}
	return line
}

// staleAfter is how long a learned rate is worth keeping that nobody uses.
const staleAfter = time.Hour

// Idle reports whether the pacer could be forgotten without changing a decision: nobody waits or is on the way, nothing pauses it,
// and it has learned no rate, or none that was used within an hour.
func (p *Pacer) Idle() bool {
	if p.machine == nil {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.seconds(time.Now())
	flying, _ := p.machine.InFlight()
	if _, parked := p.machine.Parked(); parked || flying > 0 || p.line.len > 0 {
		return false
	}
	return math.IsInf(p.machine.Pace(now), 1) || now-p.machine.LastSend() > staleAfter.Seconds()
}

// Snapshot is what is worth keeping of a pacer across a restart. It can be written as JSON. The zero Snapshot knows nothing.
type Snapshot struct {
	Taken       time.Time     // by the wall clock
	ParkedUntil time.Time     // by the wall clock; zero: not parked
	Park        time.Duration // length of that park; one more refusal doubles it
	Rate        float64       // calls a second; 0: none learned
	Safe        float64       // calls a second that the callee surely lets go; 0: unknown
	MaxInFlight int
	Probe       time.Duration // from a refusal to the next look whether more is possible
	Hold        time.Duration // a rate is tried so long at least
	Plain       bool          // the callee refuses in plain words, so that a reset or a bare 503 is none
}

// Snapshot returns what the pacer knows now.
func (p *Pacer) Snapshot() Snapshot {
	if p.machine == nil {
		return Snapshot{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := time.Now()
	l := p.machine.Save(p.seconds(t))
	s := Snapshot{
		Taken: t.Round(0), Park: duration(l.Park), Rate: l.Rate, Safe: l.Safe, MaxInFlight: l.Slots,
		Probe: duration(l.Probe), Hold: duration(l.Hold), Plain: l.Plain,
	}
	if _, parked := p.machine.Parked(); parked {
		s.ParkedUntil = s.Taken.Add(duration(l.Parked))
	}
	return s
}

// Restore begins with what an earlier pacer knew. A park that is not over by the wall clock goes on, and the first call after it
// goes alone. It must come before the first call; then, and with a snapshot that makes no sense, it changes nothing and returns an
// error that Is [retry.ErrConfig].
func (p *Pacer) Restore(s Snapshot) error {
	if err := p.Validate(); err != nil {
		return err
	}
	sound := s.Rate >= 0 && s.Safe >= 0 && !math.IsInf(s.Rate+s.Safe, 1) && min(s.Park, s.Probe, s.Hold) >= 0
	if !sound {
		return retry.ConfigErrorf(pacerName, "a snapshot that makes no sense")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.used {
		return retry.ConfigErrorf(pacerName, "Restore comes after the first call")
	}
	t := time.Now()
	l := pacing.Saved{
		Park: s.Park.Seconds(), Rate: s.Rate, Safe: s.Safe, Slots: s.MaxInFlight,
		Probe: s.Probe.Seconds(), Hold: s.Hold.Seconds(), Plain: s.Plain,
	}
	if !s.ParkedUntil.IsZero() {
		l.Parked = min(max(0, s.ParkedUntil.Sub(t.Round(0))), max(p.hintCap, maxParked)).Seconds()
	}
	p.machine.Load(p.seconds(t), l)
	return nil
}

// maxParked bounds what a clock that was set wrong can do.
const maxParked = 5 * time.Minute

// places is the line of those who wait, in order of arrival.
type places struct {
	head, tail *place
	len        int
}

// place is one of them.
type place struct {
	prev, next         *place
	deadline, patience float64       // no use in waiting longer
	ready              chan struct{} // closed when it is gone or refused
	gone               bool          // with a ticket
	ticket             pacing.Ticket
	at                 time.Time
	err                error // refused
}

func (l *places) push(w *place) {
	w.prev = l.tail
	if l.tail != nil {
		l.tail.next = w
	} else {
		l.head = w
	}
	l.tail = w
	l.len++
}

func (l *places) remove(w *place) {
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.head = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.tail = w.prev
	}
	w.prev, w.next = nil, nil
	l.len--
}
