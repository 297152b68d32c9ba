package grpcretry

import (
	"context"
	"strconv"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/retry"
)

// UnaryServer lets unary calls through p: a limiter, a bulkhead, an adaptive limit, a breaker
// around what the server itself depends on. A call that p rejects is answered ResourceExhausted by
// a limiter and Unavailable by others, with grpc-retry-pushback-ms if it is known when to come
// back. A call whose deadline has passed is not begun.
//
// Codes that are a healthy server's answer (NotFound, InvalidArgument, ...) are successes to a
// breaker in p. A policy that runs the handler twice, as a loop does, is a configuration error.
func UnaryServer(p retry.Policy, opts ...Option) grpc.UnaryServerInterceptor {
	c := configure(opts)
	p = observed(p)
	return func(
		ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler,
	) (any, error) {
		resp, trailer, err := serve(ctx, c, p, info.FullMethod,
			func(ctx context.Context) (any, error) { return handler(ctx, req) })
		if trailer != nil {
			_ = grpc.SetTrailer(ctx, trailer) // fails only outside a call
		}
		return resp, withStatus(err)
	}
}

// StreamServer lets streams through p for as long as they last.
func StreamServer(p retry.Policy, opts ...Option) grpc.StreamServerInterceptor {
	c := configure(opts)
	p = observed(p)
	return func(
		srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler,
	) error {
		_, trailer, err := serve(stream.Context(), c, p, info.FullMethod,
			func(ctx context.Context) (any, error) {
				return nil, handler(srv, &streamWithin{stream, ctx})
			})
		if trailer != nil {
			stream.SetTrailer(trailer)
		}
		return withStatus(err)
	}
}

// streamWithin is a stream whose context is that of the chain.
type streamWithin struct {
	grpc.ServerStream
	ctx context.Context
}

func (s *streamWithin) Context() context.Context { return s.ctx }

var errTwice = retry.ConfigErrorf("grpcretry",
	"a policy has run the handler twice: retry on the client instead")

// visit is one call of the server.
type visit struct {
	ran   atomic.Bool
	spent atomic.Bool // a loop in the handler has used up its attempts
}

type visitKey struct{}

// observed is p with an observer that notes in the visit what the loops in its handler did.
func observed(p retry.Policy) retry.Policy {
	return retry.Chain(retry.Observe(func(ctx context.Context, e retry.Event) {
		v, _ := ctx.Value(visitKey{}).(*visit)
		if v != nil && e.Kind == retry.KindGiveUp && retry.Spent(e.Err) {
			v.spent.Store(true)
		}
	}), p)
}

// serve returns the handler's answer, and the trailer that tells the caller whether to repeat the
// call: when to come back or, if a loop in the handler has repeated its calls in vain, not to.
func serve(
	ctx context.Context, c config, p retry.Policy, method string,
	handler func(context.Context) (any, error),
) (any, metadata.MD, error) {
	v := &visit{}
	ctx = context.WithValue(incoming(withMethod(ctx, method), c), visitKey{}, v)
	if err := retry.Ended(ctx); err != nil {
		return nil, nil, err
	}
	resp, err := retry.Do(ctx, p, func(ctx context.Context) (any, error) {
		if v.ran.Swap(true) {
			return nil, errTwice
		}
		resp, err := handler(ctx)
		return resp, markServed(err)
	})
	switch trailer, refused := rejectedFor(err); {
	case refused:
		return resp, trailer, err
	case err != nil && v.spent.Load():
		return resp, metadata.Pairs(pushbackKey, "-1"), err
	}
	return resp, nil, err
}

// markServed says what a handler's error means for the policies around it: codes that say that this
// server could not do it are failures, all others are answers. None is a refusal to a limiter.
func markServed(err error) error {
	if err == nil {
		return nil
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown, codes.DataLoss:
		return retry.Permanent(err)
	}
	return retry.Permanent(retry.Neutral(err))
}

// incoming reads what a trusted caller tells of its call.
func incoming(ctx context.Context, c config) context.Context {
	md, _ := metadata.FromIncomingContext(ctx)
	priority, attempts := md.Get(priorityKey), md.Get(attemptsKey)
	if len(priority)+len(attempts) == 0 || !c.trust(ctx) {
		return ctx
	}
	if len(attempts) > 0 {
		if before, err := strconv.ParseUint(attempts[0], 10, 30); err == nil {
			ctx = retry.WithRemoteAttempt(ctx, int(before)+1)
		}
	}
	if len(priority) > 0 {
		if p, err := strconv.ParseInt(priority[0], 10, 16); err == nil {
			ctx = retry.WithPriority(ctx, retry.Priority(p))
		}
	}
	return ctx
}

// rejectedFor is the trailer that tells a caller when to come back.
func rejectedFor(err error) (trailer metadata.MD, refused bool) {
	v := retry.VerdictOf(err)
	if v.Rejection == nil || !v.Unreached || v.Rejection.RetryAfter <= 0 {
		return nil, false
	}
	ms := (v.Rejection.RetryAfter.Milliseconds() + 1)
	return metadata.Pairs(pushbackKey, strconv.FormatInt(min(ms, 1<<31-1), 10)), true
}
