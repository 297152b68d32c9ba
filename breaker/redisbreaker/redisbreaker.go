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

// New returns a Store on Redis or Valkey; c is a Client, ClusterClient or Ring of go-redis. The
// Store has no state: several made from one client are the same store. It is safe for concurrent
// use. With a nil client every request is a configuration error.
func New(c redis.Cmdable) breaker.Store { return store{c} }

type store struct{ c redis.Cmdable }

var errNilClient = retry.ConfigErrorf("redisbreaker.New", "client(nil): must not be nil")

// Exchange sends one pipeline with an EVALSHA for each report. To servers that do not know the
// script yet it sends the source with EVAL, in a second pipeline. If the keys of one breaker are
// broken the others are not affected.
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
		} else if failed == nil { // the first error is enough
			failed = fmt.Errorf("breaker %.100s: %w", mine[i].Name, err)
		}
	}
	return fleets, failed
}

// call is one request in a pipeline.
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

// keys of a fleet. All are in one slot of a cluster, whatever bytes the name has: the hash tag is
// the text between the first brace and the first closing one after it, and here it is never empty.
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

var errAnswer = errors.New("malformed answer")

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
