package redislimit_test

import (
	"context"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/redislimit"
)

// The script and its twin in Go give the same answers to the µs, whatever they are asked, also when
// the clock is set, the bucket is forgotten, and the figures change.
func TestTheScriptAnswersAsItsTwin(t *testing.T) {
	asks := 100_000
	if testing.Short() {
		asks = 3_000
	}
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		m, c := fake(t)
		compare(t, asks, redislimit.New(c), func(now time.Time) { m.SetTime(now) },
			func() { flush(t, c) })
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		c := client(t, start(t).addr)
		clock := &clocked{c: c}
		compare(t, asks, clock, func(now time.Time) { clock.now = now }, func() { flush(t, c) })
	})
}

// clocked is redislimit by a clock that the test sets, which a server's cannot be.
type clocked struct {
	c   *redis.Client
	now time.Time
}

var atTime = redis.NewScript(strings.Replace(redislimit.Source, "redis.call('TIME')",
	"{ ARGV[15], ARGV[16] }", 1))

func (s *clocked) Take(ctx context.Context, name string, a ratelimit.Ask) (ratelimit.Grant, error) {
	us := s.now.UnixMicro()
	args := append(redislimit.Arguments(a), us/1e6, us%1e6)
	answer, err := atTime.Run(ctx, s.c, redislimit.Keys(name), args...).Slice()
	if err != nil {
		return ratelimit.Grant{}, err
	}
	return redislimit.Read(answer, a)
}

func compare(t *testing.T, asks int, store ratelimit.Store, set func(time.Time), forget func()) {
	rnd := rand.New(rand.NewPCG(1, 2))
	now := time.UnixMicro(1_795_000_000_123_456)
	twin := ratelimit.NewStoreAt(func() time.Time { return now })
	names := []string{"catalog", "a}b", "{", "\x00\xff {x}:b"}
	name, base := names[0], ratelimit.Ask{Limit: 10, Burst: 5, Lease: time.Second}
	for i := range asks {
		if i%500 == 0 { // another limit, seldom round
			forget()
			twin = ratelimit.NewStoreAt(func() time.Time { return now })
			name = names[rnd.IntN(len(names))]
			base.Limit = math.Exp(rnd.Float64()*30 - 12)
			if rnd.IntN(2) == 0 {
				base.Limit = math.Round(base.Limit*10+1) / 10
			}
			base.Burst = 1 + int(math.Exp(rnd.Float64()*12))
			base.Lease = time.Duration(1+rnd.IntN(2_000_000)) * time.Microsecond
			base.Learn = rnd.IntN(5) == 0
		}
		now = now.Add(step(rnd, base.Lease))
		set(now)
		a := ask(rnd, base)
		got, err := store.Take(bg, name, a)
		if err != nil {
			t.Fatalf("ask %d %+v: %v", i, a, err)
		}
		if want, _ := twin.Take(bg, name, a); got != want {
			t.Fatalf("ask %d %+v of %q:\nscript %+v\n  twin %+v", i, a, name, got, want)
		}
	}
}

// step is how far the clock goes until the next question: mostly a part of a lease, now and then it
// is set, forward or back.
func step(rnd *rand.Rand, lease time.Duration) time.Duration {
	switch rnd.IntN(40) {
	case 0:
		return time.Duration(rnd.IntN(int(time.Hour)))
	case 1:
		return -time.Duration(rnd.IntN(int(time.Minute)))
	case 2:
		return 20 * lease
	}
	return time.Duration(rnd.Float64() * float64(lease))
}

func ask(rnd *rand.Rand, base ratelimit.Ask) ratelimit.Ask {
	a := base
	a.Member = string(rune('a' + rnd.IntN(5)))
	often := func(n int) int { // 0 every second time
		return rnd.IntN(2) * rnd.IntN(n+1)
	}
	a.Need, a.Want = often(20), often(20)
	if rnd.IntN(4) == 0 {
		a.Back = often(2*a.Burst) - a.Burst/2
	}
	if rnd.IntN(3) == 0 {
		a.Floor = time.Duration((rnd.Float64() - 0.8) * float64(10*a.Lease))
	}
	if rnd.IntN(50) == 0 {
		a.Pause = time.Duration(rnd.IntN(int(20 * time.Second)))
	}
	a.Since = time.Duration(often(int(time.Minute)))
	if rnd.IntN(20) == 0 {
		a.Limit *= 1 + rnd.Float64()
		a.Burst += rnd.IntN(3)
	}
	if a.Learn {
		a.Answers, a.Refusals, a.Learned = often(100), often(3), base.Limit*rnd.Float64()
	}
	if a.Learned < 1e-6 {
		a.Learned = 0
	}
	a.Limit = max(a.Limit, 1e-6)
	return a
}
