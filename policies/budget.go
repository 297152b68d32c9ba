package policies

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// ErrBudget is the reason of the rejection if a budget does not allow another attempt.
var ErrBudget = errors.New("retry budget spent")

// Budget is a retry budget: it holds retries back while many calls fail. Without one a callee that
// is down gets several times its usual load when it can bear least. First attempts are never held
// back, and a retry that is not allowed returns at once.
//
// Make one with [NewTokenBudget] (recommended: NewTokenBudget(10, 0.1)), [NewRatioBudget] or
// [NewCostBudget] and give it to all the loops that share it, by [WithBudget]. If the budget is
// empty the call fails with a rejection that Is ErrBudget, and with its last failure. It is safe
// for concurrent use. A budget made with bad numbers, and the zero Budget, make those loops fail
// with [retry.ErrConfig].
type Budget struct {
	label
	ledger
	err error
}

// ledger is how a budget keeps its books. first tells the first attempt of a call from its retries.
type ledger interface {
	succeeded(first bool, paid int64) // paid for that retry
	failed(first bool)                // with a failure that is worth another attempt
	withdraw(throttled bool) (paid int64, ok bool)
	giveBack(paid int64) // a retry was not made after all
	Idle() bool
	left() (n float64, text string)
}

// Validate reports bad numbers, and a budget that was not made by one of the three functions.
func (b *Budget) Validate() error {
	if b == nil || b.ledger == nil {
		return errZeroBudget
	}
	return b.err
}

var errZeroBudget = retry.ConfigErrorf("policies.Budget",
	"made without NewTokenBudget, NewRatioBudget or NewCostBudget")

// Name returns what [Named] gave, "" without it.
func (b *Budget) Name() string {
	if b == nil {
		return ""
	}
	return b.name
}

// String is one line for people: the budget's name and what is left. It is safe while calls run.
func (b *Budget) String() string {
	if err := b.Validate(); err != nil {
		return "budget(misconfigured)"
	}
	_, text := b.left()
	return b.who() + "(" + text + " left)"
}

// Stats are how many tokens, or retries, are left.
func (b *Budget) Stats() []retry.Stat {
	if b.Validate() != nil {
		return nil
	}
	n, _ := b.left()
	return []retry.Stat{{Name: "left", Value: n}}
}

// Idle is true while the budget remembers nothing.
func (b *Budget) Idle() bool { return b == nil || b.ledger == nil || b.ledger.Idle() }

// spend asks for one retry and tells what that took; without a budget nothing is in the way.
func (b *Budget) spend(throttled bool) (paid int64, ok bool) {
	if b == nil {
		return 0, true
	}
	return b.withdraw(throttled)
}

func newBudget(constructor string, m mistakes, l ledger, opts []Option) *Budget {
	b := &Budget{label: label{kind: "budget"}, ledger: l}
	m.configure(b, opts)
	b.err = m.in(constructor)
	return b
}

// NewTokenBudget is the retry throttling of gRPC (proposal A6). It begins with max tokens. Every
// failure that is worth a retry takes one, every success adds ratio, and a retry needs more than
// max/2 left. So while less than one in 1/ratio+1 calls fails, nothing is held back. max is at
// least 1, ratio above 0; gRPC's own example is 10 and 0.1, which holds back from a failure rate of
// 1 in 11. It fills again by successful calls, not by time.
func NewTokenBudget(max int, ratio float64, opts ...Option) *Budget {
	const micro = 1_000_000 // the finest ratio is 1 of them
	t := &tokens{unit: micro, loss: micro}
	var m mistakes
	m.check(max >= 1, "max %d: must be at least 1", max)
	ok := ratio >= 1./micro && ratio <= math.MaxInt32
	m.check(ok, "ratio %v: must be a positive number", ratio)
	if m == nil {
		t.max = int64(min(max, math.MaxInt32)) * micro
		t.gain, t.least = int64(math.Round(ratio*micro)), t.max/2+1
		t.level.Store(t.max)
	}
	return newBudget("NewTokenBudget", m, t, opts)
}

// NewCostBudget is the retry quota of the AWS SDKs. A retry costs retryCost of capacity, or 5/14 of
// that if the failure asked for patience ([retry.After]): a callee that answers is likelier to
// accept a retry than one that timed out. The cost comes back if the retry succeeds or is rejected
// further in. One that fails or panics has been made, and is spent. A call that succeeds at the
// first attempt adds gain. All are at least 1, and retryCost not above capacity.
//
// The SDKs count (500, 5, 1) in their older versions. Since 2026 ("Retry behavior", AWS SDKs and
// Tools Reference Guide) they count (500, 14, 1) and 5 for a throttled retry, so that an outage
// stops retries after 35 of them, and throttling after 100.
func NewCostBudget(capacity, retryCost, gain int, opts ...Option) *Budget {
	var m mistakes
	m.check(capacity >= 1, "capacity %d: must be at least 1", capacity)
	m.check(retryCost >= 1, "retryCost %d: must be at least 1", retryCost)
	m.check(retryCost <= capacity,
		"retryCost %d: must not be above capacity, %d", retryCost, capacity)
	m.check(gain >= 1, "gain %d: must be at least 1", gain)
	t := &tokens{
		unit: 1, max: int64(capacity), gain: int64(min(gain, capacity)), cost: int64(retryCost),
	}
	t.throttled = t.cost/14*5 + (t.cost%14*5+13)/14 // rounded up
	t.level.Store(t.max)
	return newBudget("NewCostBudget", m, t, opts)
}

// tokens is a bucket of them, counted in fractions of a unit: gRPC's and the AWS SDKs' budget.
type tokens struct {
	unit, max       int64
	gain, loss      int64 // by a success and by a failure
	cost, throttled int64 // of a retry; cost 0: it takes nothing, and a success of one gains too
	least           int64 // what a retry must leave
	level           atomic.Int64
}

// add changes the level by delta. It writes only what is new, so that a full bucket is shared
// without contention.
func (t *tokens) add(delta int64) {
	for {
		old := t.level.Load()
		changed := max(0, old+min(delta, t.max-old)) // in this order, as the sum may overflow
		if changed == old || t.level.CompareAndSwap(old, changed) {
			return
		}
	}
}

func (t *tokens) succeeded(first bool, paid int64) {
	if first || t.cost == 0 {
		paid = t.gain
	}
	t.add(paid)
}

func (t *tokens) failed(bool)         { t.add(-t.loss) }
func (t *tokens) giveBack(paid int64) { t.add(paid) }
func (t *tokens) Idle() bool          { return t.level.Load() == t.max }

func (t *tokens) withdraw(throttled bool) (int64, bool) {
	cost := t.cost
	if throttled {
		cost = t.throttled
	}
	for {
		old := t.level.Load()
		if old-cost < t.least {
			return 0, false
		}
		if t.level.CompareAndSwap(old, old-cost) {
			return cost, true
		}
	}
}

func (t *tokens) left() (float64, string) {
	n := float64(t.level.Load()) / float64(t.unit)
	return n, fmt.Sprintf("%v of %d tokens", n, t.max/t.unit)
}

// NewRatioBudget is the retry budget of Finagle and tower: over the last 10 seconds there may be
// ratio retries per call, and reservePerSecond besides, so that a client with few calls can retry
// too. What a call deposits expires after those 10 seconds, and so does what a retry took, so the
// budget fills again by time alone. ratio 0 leaves the reserve only; not both may be 0.
func NewRatioBudget(ratio, reservePerSecond float64, opts ...Option) *Budget {
	var m mistakes
	m.check(ratio >= 0 && ratio <= math.MaxInt32, "ratio %v: must be a number, not negative", ratio)
	m.check(reservePerSecond >= 0 && reservePerSecond <= math.MaxInt32,
		"reservePerSecond %v: must be a number, not negative", reservePerSecond)
	m.check(ratio != 0 || reservePerSecond != 0, "ratio and reservePerSecond: must not both be 0")
	r := &ratios{deposit: ratio, reserve: reservePerSecond * slots, latest: math.MaxInt64}
	return newBudget("NewRatioBudget", m, r, opts)
}

const slots = 10 // of one second each

// ratios keeps the balance of each of the last seconds in a ring.
type ratios struct {
	deposit, reserve float64

	mu      sync.Mutex
	balance [slots]float64
	latest  int64 // the second that was written last
}

// second returns the balance of the present second, after those that have expired are wiped. r.mu
// must be held.
func (r *ratios) second() *float64 {
	at := int64(now() / time.Second)
	if at < r.latest { // the first use, or a clock that began anew: another synctest bubble
		r.balance, r.latest = [slots]float64{}, at
	}
	for s := max(r.latest+1, at-slots+1); s <= at; s++ {
		r.balance[ring(s)] = 0
	}
	r.latest = at
	return &r.balance[ring(r.latest)]
}

// ring is a remainder that is not negative: inside a synctest bubble the clock may stand before the
// epoch of the process.
func ring(second int64) int64 { return (second%slots + slots) % slots }

func (r *ratios) called(first bool) {
	if first {
		r.mu.Lock()
		*r.second() += r.deposit
		r.mu.Unlock()
	}
}

func (r *ratios) succeeded(first bool, _ int64) { r.called(first) }
func (r *ratios) failed(first bool)             { r.called(first) }

// retries is how many may be made now. r.mu must be held.
func (r *ratios) retries() float64 {
	r.second()
	sum := r.reserve
	for _, b := range r.balance {
		sum += b
	}
	return sum + 1e-9 // ten deposits of 0.1 are one retry, whatever their floating-point sum
}

func (r *ratios) withdraw(bool) (int64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.retries() < 1 {
		return 0, false
	}
	*r.second()--
	return 1, true
}

func (r *ratios) giveBack(int64) {
	r.mu.Lock()
	*r.second()++
	r.mu.Unlock()
}

func (r *ratios) left() (float64, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := max(0, r.retries())
	return n, fmt.Sprintf("%.4g retries", n)
}

func (r *ratios) Idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.second()
	return r.balance == [slots]float64{}
}
