package redislimit

import (
	"context"
	_ "embed"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

//go:embed script.lua
var source string

var script = redis.NewScript(source)

// New returns a Store on Redis or Valkey; c is a Client, ClusterClient or Ring of go-redis. The
// Store has no state: several made from one client are the same store. It is safe for concurrent
// use. With a nil client every request is a configuration error.
func New(c redis.Scripter) ratelimit.Store { return store{c} }

type store struct{ c redis.Scripter }

// Take is one EVALSHA. To a server that does not know the script yet it sends the source with EVAL.
func (s store) Take(ctx context.Context, name string, a ratelimit.Ask) (ratelimit.Grant, error) {
	if s.c == nil {
		return ratelimit.Grant{}, retry.ConfigErrorf("redislimit.New", "nil client")
	}
	if err := a.Validate(); err != nil {
		return ratelimit.Grant{}, err
	}
	answer, err := script.Run(ctx, s.c, keys(name), arguments(a)...).Slice()
	if err != nil {
		return ratelimit.Grant{}, fmt.Errorf("limit %s: %w", name, err)
	}
	g, err := grant(answer, a)
	if err != nil {
		return ratelimit.Grant{}, fmt.Errorf("limit %s: %w", name, err)
	}
	return g, nil
}

// keys of a limit. Both are in one slot of a cluster, whatever bytes the name has: the hash tag is
// the text between the first brace and the first closing one after it, and here it is never empty.
// A breaker of the same name has other keys (:s, :v, :m, :p).
func keys(name string) []string {
	return []string{"{reprise:" + name + "}:b", "{reprise:" + name + "}:w"}
}

// arguments of the script. Numbers are sent as plain digits, because Lua itself would print only
// 14.
func arguments(a ratelimit.Ask) []any {
	decimal := func(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
	learn := 0
	if a.Learn {
		learn = 1
	}
	return []any{
		a.Member, decimal(a.Limit), a.Burst, a.Lease.Microseconds(), a.Need, a.Want, a.Back,
		a.Floor.Microseconds(), a.Pause.Microseconds(), a.Since.Microseconds(),
		learn, a.Answers, a.Refusals, decimal(a.Learned),
	}
}

// grant reads the script's answer.
func grant(answer []any, a ratelimit.Ask) (ratelimit.Grant, error) {
	const integers = 10
	var n [integers]int64
	if len(answer) != integers+1 {
		return ratelimit.Grant{}, fmt.Errorf("an answer of %d values, not %d",
			len(answer), integers+1)
	}
	for i := range n {
		v, ok := answer[i].(int64)
		if !ok {
			return ratelimit.Grant{}, fmt.Errorf(
				"value %d of the answer is %T(%[2]v), not an integer", i, answer[i])
		}
		n[i] = v
	}
	text, _ := answer[integers].(string)
	limit, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return ratelimit.Grant{}, fmt.Errorf("the rate in the answer: %w", err)
	}
	g := ratelimit.Grant{
		Tokens: int(n[0]), Now: int(n[1]), First: span(n[2]),
		Members: int(n[3]), Floor: span(n[4]), Pause: span(n[5]),
		Lead: n[6] == 1, Answers: int(n[7]), Refusals: int(n[8]),
	}
	if limit != a.Limit {
		g.Limit = limit
	}
	if burst := int(n[9]); burst != a.Burst {
		g.Burst = burst
	}
	return g, nil
}

func span(us int64) time.Duration {
	const most = int64(math.MaxInt64 / time.Microsecond)
	return time.Duration(max(-most, min(us, most))) * time.Microsecond
}
