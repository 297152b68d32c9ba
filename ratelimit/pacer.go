package ratelimit

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/ratelimit/internal/pacing"
	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Pacer is a policy that learns the rate that its callee permits, and keeps to it. It starts with a
// few calls in flight and adds to them until the callee refuses; then it rests, measures what was
// accepted, keeps to that, and probes from time to time whether more is possible. Waiting calls go
// by priority ([retry.WithPriority]), first in first out within one.
//
// An outcome is a refusal if it is marked by [retry.After] (httpx marks a 429 and a 503 with
// Retry-After), if its StatusCode is 429, or if [Refused] says so. A refusal pauses every caller of
// the pacer, and counts once however many calls in flight bring one. No call goes before the latest
// time that any answer has named.
//
// A bare 503, a reset, a body cut off, and an answer that takes longer than a second and six times
// the usual time are refusals only if the callee proves to refuse that way. So is a 403 that no
// option calls a refusal: three different pages in a row are taken for one, which costs three rests
// if it was wrong. A 500, 502, 504 or a timeout was admitted and says nothing about the rate; nor
// does a call that its caller gave up.
//
// A page that is refused again and again while others are admitted is refused for itself, and says
// nothing about the rate. To find out, a call for a page that was just refused lets waiting calls
// of its priority go first, until twelve others were admitted or it would come too late. The pacer
// knows pages by [retry.PageOf]; httpx names them.
//
// What the callee states of its quota ([retry.Report]) is kept to before anything is refused: what
// remains is used at once if there is more within ten minutes, and spread over the time if not. A
// quota that fills all the time, as a bucket does, is followed as it fills.
//
// After a refusal and the rest that follows it, one call goes alone and the others wait for its
// outcome. If that call has no outcome after 30 seconds, or after the rest if that was longer, the
// next one goes alone in its place.
//
// A call made from inside a call, with its context, needs no place in flight: it shares the place
// of the call around it, one at a time, is paced like any, and goes before waiting calls. If there
// are several at once the others take free places, or are rejected at once.
//
// It takes three to seven refusals to learn a limit, most of them within the first seconds, and
// about twenty an hour to follow it. A server that bans after fewer refusals may ban it: use
// [Careful] there, or begin with [StartRate] below the limit and bound it by [MaxRate].
//
// A pacer stands for one limit: share it among all callers under that limit, one for each host
// (policies.Keyed). Put it inside the retry loop, so that retries are paced too, and outside a
// breaker. [Pacer.Explain] says what it believes.
//
// Pacers of several processes behind one address share what they learn: see [Shared].
//
// A Pacer is safe for concurrent use. The zero Pacer is a configuration error; make one with
// [NewPacer].
type Pacer struct {
	config
	invalid error
	base    time.Time    // the machine's time begins here
	skipped atomic.Int64 // how far the clock has gone back since, in nanoseconds

	suspects atomic.Bool // some page was refused, so it matters which page a call asks for

	mu      sync.Mutex
	latest  time.Duration // the machine's time when it was last asked
	machine *pacing.Machine
	used    bool
	nested  int     // nested calls that wait for their turn
	cause   error   // the last refusal
	judged  float64 // the pace at which the calls in line were last found to fit
	line    line[queued]
	crew    *crew // its place in a fleet; nil: it has none
}

// NewPacer makes a pacer that knows nothing yet.
//
// Options: [StartRate], [MaxRate], [MaxInFlight], [MaxWait], [HintCap], [Refused], [Careful],
// [Named], [Shared]. Without them it searches from the start, the callee is the only bound, and a
// call waits as long as its context allows.
func NewPacer(opts ...Option) *Pacer {
	return newPacer(rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())), opts)
}

func newPacer(rng *rand.Rand, opts []Option) *Pacer {
	c, err := configure("ratelimit.NewPacer", forPacer, opts)
	p := &Pacer{config: c, invalid: err, base: time.Now()}
	m := pacing.Config{
		StartRate: float64(c.startRate), MaxInFlight: c.maxInFlight,
		MaxHint: c.hintCap.Seconds(), Careful: c.careful,
	}
	if c.maxRate != rate.Inf {
		m.MaxRate = float64(c.maxRate)
	}
	p.machine = pacing.New(m, rng)
	if c.fleet != nil && err == nil {
		p.invalid = c.fleet.checkPacer()
		p.crew = newCrew(p, *c.fleet)
	}
	return p
}

const pacerName = "pacer"

var (
	errNilPacer  = retry.ConfigErrorf(pacerName, "nil Pacer: must be made by NewPacer")
	errZeroPacer = retry.ConfigErrorf(pacerName, "zero Pacer: must be made by NewPacer")
)

// Validate reports a configuration error.
func (p *Pacer) Validate() error {
	if p == nil {
		return errNilPacer
	}
	if p.machine == nil {
		return errZeroPacer
	}
	return p.invalid
}

// Do lets the call go when it is its turn. If the wait would be longer than [MaxWait], or than the
// context lives, it rejects the call with a [*retry.Rejection] that Is [ErrLimited] and carries the
// wait. If it is the context, the rejection also Is context.DeadlineExceeded.
func (p *Pacer) Do(ctx context.Context, next retry.Next) error {
	if err := p.Validate(); err != nil {
		return err
	}
	if err := retry.Ended(ctx); err != nil {
		return err
	}
	c, lender, err := p.enter(ctx)
	if err != nil {
		p.crew.tellNews(ctx)
		return err
	}
	in := &flight{Context: ctx, pacer: p, pass: c, lender: lender}
	defer in.abandon()
	if p.crew != nil {
		p.crew.tellNews(ctx)
	}
	err = next.Do(in)
	var told *retry.Event
	if err == nil && p.saidNothing(in) { // nearly always
		told = p.settle(in, nil)
	} else {
		told = p.judge(in, err)
	}
	if told != nil {
		told.Err = err
		retry.Emit(ctx, *told)
	}
	return err
}

// enter lets a call go or rejects it. lender is the call around it that lent it its place, or nil.
func (p *Pacer) enter(ctx context.Context) (c pass, lender *flight, err error) {
	if outer, ok := ctx.Value(flightKey{p}).(*flight); ok {
		return p.enterNested(ctx, outer)
	}
	c, err = p.admit(ctx)
	return c, nil, err
}

// reply is what a call came to, if it is more than a success of which the callee said nothing.
type reply struct {
	pacing.Answer
	verdict verdict
	cause   error // of a refusal
}

// judge settles a call that has failed, or of which the callee said something.
func (p *Pacer) judge(in *flight, err error) *retry.Event {
	var r reply
	r.Answer, r.verdict = p.classify(in, err)
	if r.Kind == pacing.Refusal { // before the lock, because Brief prints it, which may take long
		r.cause = retry.Brief(err)
	}
	return p.settle(in, &r)
}

// settle tells the machine the outcome of a call, nil if it succeeded and that is all, and returns
// what observers should hear of it, or nil.
func (p *Pacer) settle(in *flight, r *reply) *retry.Event {
	in.settled = true
	in.lender.takeBack()
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	before := p.look()
	if r == nil {
		p.machine.OnFine(now.Seconds(), in.pass.Ticket)
	} else {
		p.tell(now, in.pass, r)
	}
	if p.crew != nil {
		p.crew.publish(now)
	}
	after := p.look()
	if p.line.head != nil {
		p.replan(now, after.parksLonger(before))
	}
	if after == before {
		return nil
	}
	return p.change(now, before, after)
}

// tell tells the machine the outcome of a call. It requires that p.mu is held.
func (p *Pacer) tell(now time.Duration, in pass, r *reply) {
	if r.verdict == answer {
		p.machine.OnDone(now.Seconds(), in.Ticket, r.Answer)
	} else {
		p.machine.OnCancel(in.Ticket, r.verdict == noVerdict)
		if r.verdict == notMade {
			p.crew.refund(now, in)
		}
	}
	if r.Kind == pacing.Refusal {
		p.cause = r.cause
	}
	if r.Page != 0 {
		p.suspects.Store(true)
	}
}

// answered tells the machine that a call has begun to be answered.
func (p *Pacer) answered(c pass) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.OnAnswer(p.now().Seconds(), c.Ticket)
}

// view is the state of the machine as observers are told it.
type view struct {
	mode   pacing.Mode
	rate   float64
	gate   float64
	parked bool
}

// look returns the view now. It requires that p.mu is held.
func (p *Pacer) look() view {
	v := view{mode: p.machine.Mode(), rate: p.machine.Rate()}
	v.gate, v.parked = p.machine.Parked()
	return v
}

func (v view) parksLonger(before view) bool {
	return v.parked && (!before.parked || v.gate > before.gate)
}

// change is what observers hear of a change that concerns the callers: not of one more slot, nor of
// what is learned while parked. It is nil if there is nothing to tell.
func (p *Pacer) change(now time.Duration, before, after view) *retry.Event {
	e := &retry.Event{Kind: retry.KindChange, Policy: p.who()}
	switch {
	case after.parksLonger(before):
		e.Wait = duration(after.gate - now.Seconds())
		e.From = before.String()
		e.To = fmt.Sprintf("parked for %v, then one call", e.Wait.Round(time.Millisecond))
	case !after.parked && (before.parked || after.mode != before.mode || after.rate != before.rate):
		e.From, e.To = before.String(), after.String()
	default:
		return nil
	}
	return e
}

func (v view) String() string {
	if v.parked {
		return "parked"
	}
	return fmt.Sprintf("%v %s", v.mode, perSecond(v.rate))
}
