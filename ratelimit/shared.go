package ratelimit

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"math"
	"time"

	"github.com/reprise-go/reprise/retry"
	"golang.org/x/time/rate"
)

// Shared makes a limiter a member of a fleet: all limiters of one name at one store, in whatever
// process, keep one limit together.
//
//	limit := ratelimit.New(10, 5, ratelimit.Shared(store, "catalog")) // 10 a second for all
//
// A member asks the store for a block of dated tokens and spends them itself, each within a lease
// after its time (see [Lease]): a call that finds a token makes no request to the store. At
// saturation all members get equal parts, whatever the number of their callers. A member that needs
// less leaves the rest to the others.
//
// In any time w the fleet makes at most burst + limit*(w + lease) calls, with [Strict] burst +
// limit*w. A member that dies adds nothing. A store that has forgotten the limit adds nothing, and
// costs two leases without tokens; the first call of a new limit waits as long. A jump forward of
// the store's clock adds up to burst + 2*limit*lease. A store that falls back to what it knew a
// time d ago adds at most the same, and at most limit*d.
//
// While the store cannot be reached [OnLoss] says what happens. With [Share] an outage adds at most
// limit*lease, because some members notice its end half a lease and a round trip later than others;
// that holds for round trips of up to half a lease. If the store is silent instead of refusing
// questions they notice it still later: by 50 ms, or by four round trips if those are longer, after
// which a question is given up. Two things come on top. A member that made no call in the ten
// leases before an outage has limit/members while it lasts. And a member that makes no call during
// the outage and is the first to ask afterwards may find what the bucket has saved up meanwhile.
//
// A pause that one member hears, by [Limiter.Pause] or a hint of the callee, holds all of them
// within a lease and a round trip. If members are given different figures, as in a rolling deploy
// or by SetLimit, all follow the figures set last; of two that are set within a lease, the smaller.
// The limit must be a number from 1e-6 to 1e9 a second.
//
// A limiter asks in the background, at most one question at a time, and none while it is idle. The
// name is the default of [Named].
//
// Pacers of one name learn one limit together:
//
//	pacer := ratelimit.NewPacer(ratelimit.Shared(store, "shop.example"))
//
// The store makes one of them the leader. It searches for the limit, at first alone, and the others
// keep to what it has found, each with an equal part. They report their answers and refusals to it,
// and a refusal or a Retry-After that one of them gets pauses all. If the leader does not ask for
// two seconds another one leads, beginning with the rate that is known. A pacer that starts later
// begins with that rate too. A busy member asks about as often as the whole fleet makes calls, but
// at least twice and at most 40 times a second.
//
// While the store is away each pacer learns for itself. With Share it begins with its part of the
// rate, with Open with all of it; with Closed it rejects its calls. Strict is not for pacers. The
// budget of Careful does not count the calls that other members have under way. A pacer and a
// limiter must not have the same name.
func Shared(s Store, name string, opts ...SharedOption) Option {
	return Option{"Shared", shown{s, name, opts}, forLimiter | forPacer, func(c *config) string {
		f := fleet{store: s, name: name}
		if s == nil {
			return "the store must not be nil"
		}
		for _, o := range opts {
			if o.set == nil {
				return "a SharedOption must be made by a function of this package"
			}
			if mustBe := o.set(&f); mustBe != "" {
				return o.name + ": " + mustBe
			}
		}
		if f.member == "" {
			f.member = newMemberID()
		}
		if c.name == "" {
			c.name = name
		}
		c.source = func(limit rate.Limit, burst int) source { return newMember(f, limit, burst) }
		c.fleet = &f
		return ""
	}}
}

// shown is how Shared is written in an error.
type shown struct {
	store Store
	name  string
	opts  []SharedOption
}

func (s shown) String() string {
	if s.store == nil {
		return fmt.Sprintf("nil, %q", s.name)
	}
	return fmt.Sprintf("%T, %q", s.store, s.name)
}

// fleet is what Shared and its options say.
type fleet struct {
	store  Store
	name   string
	member string
	onLoss Loss
	strict bool
	lease  time.Duration // 0: chosen by the limit
	learns bool          // it is a pacer's: the limit is learned
}

// SharedOption tunes [Shared].
type SharedOption struct {
	name string
	set  func(*fleet) (mustBe string)
}

// Strict bounds the fleet to burst + limit*w calls in any time w: its bucket is smaller by the
// tokens that members may spend late, and the lease is at most (burst-1)/limit. That must be at
// least 20 ms, and the burst at least 2; otherwise it is a configuration error.
func Strict() SharedOption {
	return SharedOption{"Strict()", func(f *fleet) string { f.strict = true; return "" }}
}

// Lease is how long after its time a token may still be spent, and for how long a time a member
// asks for tokens. The default is the time of 20 calls, but at least 100 ms and at most 1 s. A
// longer one costs fewer questions and lets more calls come late. It must be from 20 ms to a
// minute, and should be the same for all members.
func Lease(d time.Duration) SharedOption {
	return SharedOption{fmt.Sprintf("Lease(%v)", d), func(f *fleet) string {
		if d < leastLease || d > time.Minute {
			return fmt.Sprintf("must be from %v to 1m0s", leastLease)
		}
		f.lease = d
		return ""
	}}
}

// Member names the member. The default is a random name. No two members may have one name at once:
// they would count as one.
func Member(id string) SharedOption {
	return SharedOption{fmt.Sprintf("Member(%q)", id), func(f *fleet) string {
		if id == "" {
			return "must not be empty"
		}
		f.member = id
		return ""
	}}
}

// Loss is what a member does while its store cannot be asked.
type Loss uint8

const (
	// Share, the default, goes on with the part of the limit that the member had in the ten leases
	// before. A member that had none, or is younger, has limit/members, and less in the first lease
	// of its life. A member that was never granted anything rejects its calls as with Closed. The
	// parts of all members that were busy add up to the limit at most. Members that are cut off
	// from a store that others still reach use their parts besides what the others get.
	Share Loss = iota
	// Open admits every call.
	Open
	// Closed rejects every call that finds no token: [ErrLimited], with the time of the next
	// question.
	Closed
)

var losses = [...]string{Share: "Share", Open: "Open", Closed: "Closed"}

func (l Loss) String() string {
	if int(l) < len(losses) {
		return losses[l]
	}
	return fmt.Sprintf("Loss(%d)", uint8(l))
}

// OnLoss says what the member does while the store cannot be asked: [Share], [Open] or [Closed].
func OnLoss(l Loss) SharedOption {
	return SharedOption{fmt.Sprintf("OnLoss(%v)", l), func(f *fleet) string {
		if int(l) >= len(losses) {
			return "must be Share, Open or Closed"
		}
		f.onLoss = l
		return ""
	}}
}

func newMemberID() string {
	var b [9]byte
	_, _ = rand.Read(b[:]) // it never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}

const leastLease = 20 * time.Millisecond

// figures are a limit and a burst, and what a member makes of them.
type figures struct {
	limit  rate.Limit
	burst  int           // as given
	lease  time.Duration // how long after its time a token may be spent
	bucket int           // the store's burst
	step   float64       // ns from one token to the next
}

// figures makes them from a limit and a burst that make sense: see check.
func (f *fleet) figures(limit rate.Limit, burst int) figures {
	step := float64(time.Second) / float64(limit)
	lease := f.lease
	calls, least := 20., 100*time.Millisecond
	if f.learns {
		calls, least = 2, leastLearning
	}
	if lease == 0 {
		lease = time.Duration(min(max(calls*step, float64(least)), float64(time.Second)))
	}
	g := figures{limit, burst, lease, burst, step}
	if f.strict {
		g.lease = min(lease, time.Duration(float64(burst-1)*step))
		g.bucket = max(1, int(float64(burst)-g.late()+1e-9))
	}
	return g
}

// checkPacer reports what is wrong with the options for a pacer.
func (f *fleet) checkPacer() error {
	if f.strict {
		return retry.ConfigErrorf("ratelimit.NewPacer", "Strict(): must not be given to a pacer")
	}
	return nil
}

// late is how many tokens a lease lets members spend late.
func (f figures) late() float64 { return float64(f.lease) / f.step }

// check reports what is wrong with the figures for a fleet; by names the function they came from.
func (f *fleet) check(by string, limit rate.Limit, burst int) error {
	switch {
	case !(limit >= minShared && limit <= maxShared):
		text := fmt.Sprint(float64(limit))
		if limit == rate.Inf {
			text = "Inf"
		}
		const must = "limit %s: must be from 1e-06 to 1e+09 a second if it is Shared"
		return retry.ConfigErrorf(by, must, text)
	case burst > maxCount:
		const must = "burst %d: must be at most %d if it is Shared"
		return retry.ConfigErrorf(by, must, burst, maxCount)
	case !f.strict:
		return nil
	case burst < 2:
		return retry.ConfigErrorf(by, "burst %d: must be at least 2 with Strict()", burst)
	}
	if g := f.figures(limit, burst); g.lease < leastLease {
		least := 1 + int(math.Ceil(float64(limit)*leastLease.Seconds()))
		const must = "burst %d: must be at least %d " +
			"at a limit of %v with Strict(), for a lease of %v"
		return retry.ConfigErrorf(by, must, burst, least, float64(limit), leastLease)
	}
	return nil
}
