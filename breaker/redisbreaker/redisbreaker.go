package redisbreaker

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/retry"
)

//go:embed script.lua
var source string

var script = redis.NewScript(source)

// New returns a Store on Redis or Valkey, of go-redis' Client, ClusterClient or Ring. It holds
// nothing itself: any number of them may be made of one client, and they are the same store. It is
// safe for concurrent use. A nil client is a configuration error of each question.
func New(c redis.Cmdable) breaker.Store { return store{c} }

type store struct{ c redis.Cmdable }

var errNilClient = retry.ConfigErrorf("redisbreaker.New", "client(nil): must not be nil")

// Exchange is one pipeline of an EVALSHA for each report. What a server does not know yet is sent
// it whole, with EVAL, in a second one. A breaker whose keys are broken does not concern the
// others.
func (s store) Exchange(ctx context.Context, mine []breaker.Report) ([]breaker.Fleet, error) {
	if s.c == nil {
		return nil, errNilClient
	}
	calls := make([]call, len(mine))
	for i, r := range mine {
		r, err := r.Bounded()
		if err != nil {
			return nil, err
		}
		calls[i] = call{keys: keys(r.Name), args: reportArgs(r)}
	}
	s.pipeline(ctx, calls, func(p redis.Pipeliner, c call) *redis.Cmd {
		return p.EvalSha(ctx, script.Hash(), c.keys, c.args...)
	})
	var again []call
	var from []int
	for i, c := range calls {
		if redis.HasErrorPrefix(c.cmd.Err(), "NOSCRIPT") {
			again, from = append(again, c), append(from, i)
		}
	}
	s.pipeline(ctx, again, func(p redis.Pipeliner, c call) *redis.Cmd {
		return p.Eval(ctx, source, c.keys, c.args...)
	})
	for i, c := range again {
		calls[from[i]] = c
	}

	fleets := make([]breaker.Fleet, len(mine))
	var failed error
	for i, c := range calls {
		f, err := read(c.cmd)
		if err == nil {
			f.Name = mine[i].Name
			fleets[i] = f
		} else if failed == nil { // the first one says enough
			failed = fmt.Errorf("breaker %.100s: %w", mine[i].Name, err)
		}
	}
	return fleets, failed
}

// call is one question in a pipeline.
type call struct {
	keys []string
	args []any
	cmd  *redis.Cmd
}

func (s store) pipeline(
	ctx context.Context, calls []call, add func(redis.Pipeliner, call) *redis.Cmd,
) {
	if len(calls) == 0 {
		return
	}
	p := s.c.Pipeline()
	for i, c := range calls {
		calls[i].cmd = add(p, c)
	}
	_, _ = p.Exec(ctx) // each command has its own error
}

// Probe is one EVALSHA.
func (s store) Probe(
	ctx context.Context, name, member string, era uint64, d time.Duration,
) (bool, error) {
	return s.ask(ctx, name, probeArgs(member, era, d)...)
}

func probeArgs(member string, era uint64, d time.Duration) []any {
	if d > 0 {
		d = max(time.Microsecond, min(d, 24*time.Hour))
	}
	return []any{"probe", member, era, d.Microseconds()}
}

// Done is one EVALSHA.
func (s store) Done(ctx context.Context, name, member string, era uint64, healthy bool) error {
	_, err := s.ask(ctx, name, doneArgs(member, era, healthy)...)
	return err
}

func doneArgs(member string, era uint64, healthy bool) []any {
	return []any{"done", member, era, digit(healthy)}
}

func (s store) ask(ctx context.Context, name string, args ...any) (bool, error) {
	if s.c == nil {
		return false, errNilClient
	}
	n, err := script.Run(ctx, s.c, keys(name), args...).Int64()
	if err != nil {
		return false, fmt.Errorf("breaker %.100s: %w", name, err)
	}
	return n == 1, nil
}

// keys of a fleet: all in one slot of a cluster whatever bytes the name has, since the hash tag is
// what stands between the first brace and the first closing one after it, and is never empty.
func keys(name string) []string {
	tag := "{reprise:" + name + "}:"
	return []string{tag + "s", tag + "v", tag + "m", tag + "p"}
}

func reportArgs(r breaker.Report) []any {
	return []any{
		"exchange", r.Member, r.Era, digit(r.Vote == breaker.Open), r.OpenFor.Microseconds(),
		r.Cause, r.Calls,
		digit(r.Isolate), digit(r.Release), r.Quorum,
	}
}

func digit(b bool) int {
	if b {
		return 1
	}
	return 0
}

var errAnswer = errors.New("an answer that makes no sense")

// read reads the script's answer.
func read(cmd *redis.Cmd) (breaker.Fleet, error) {
	answer, err := cmd.Slice()
	if err != nil {
		return breaker.Fleet{}, err
	}
	const integers = 5
	if len(answer) != integers+1 {
		return breaker.Fleet{}, fmt.Errorf("%w: %d values", errAnswer, len(answer))
	}
	var n [integers]int64
	for i := range n {
		v, ok := answer[i].(int64)
		if !ok || v < 0 {
			return breaker.Fleet{}, fmt.Errorf("%w: value %d is %v", errAnswer, i, answer[i])
		}
		n[i] = v
	}
	cause, _ := answer[integers].(string)
	return breaker.Fleet{
		Era: uint64(n[0]), State: breaker.State(min(n[1], math.MaxUint8)), Cause: cause,
		Left:    time.Duration(min(n[2], int64(math.MaxInt64/time.Microsecond))) * time.Microsecond,
		Members: int(min(n[3], math.MaxInt32)), Votes: int(min(n[4], math.MaxInt32)),
	}, nil
}
