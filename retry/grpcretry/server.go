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

// UnaryServer lets unary calls through p: a limiter, a bulkhead, an adaptive limit, a breaker around
// what the server itself depends on. A call that p rejects is answered ResourceExhausted by a limiter
// and Unavailable by others, with grpc-retry-pushback-ms if it is known when to come back. A call
// whose deadline has passed is not begun.
//
// Codes that are a healthy server's answer (NotFound, InvalidArgument, ...) are successes to a breaker
// in p. A policy that runs the handler twice, as a loop does, is a configuration error.
func UnaryServer(p retry.Policy, opts ...Option) grpc.UnaryServerInterceptor {
	c := configure(opts)
	return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
		resp, err := serve(ctx, c, p, info.FullMethod, func(ctx context.Context) (any, error) { return handler(ctx, req) })
		if wait, refused := rejectedFor(err); refused {
			_ = grpc.SetTrailer(ctx, wait) // fails only outside of a call
		}
		return resp, withStatus(err)
	}
}

// StreamServer lets streams through p for as long as they last.
func StreamServer(p retry.Policy, opts ...Option) grpc.StreamServerInterceptor {
	c := configure(opts)
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		_, err := serve(stream.Context(), c, p, info.FullMethod, func(ctx context.Context) (any, error) {
			return nil, handler(srv, &streamWithin{stream, ctx})
		})
		if wait, refused := rejectedFor(err); refused {
			stream.SetTrailer(wait)
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

var errTwice = retry.ConfigErrorf("grpcretry", "a server's policy must not run the handler twice: retry on the client")

func serve(ctx context.Context, c config, p retry.Policy, method string, handler func(context.Context) (any, error)) (any, error) {
	ctx = incoming(withMethod(ctx, method), c)
	if err := retry.Ended(ctx); err != nil {
		return nil, err
	}
	var ran atomic.Bool
	return retry.Do(ctx, p, func(ctx context.Context) (any, error) {
		if ran.Swap(true) {
			return nil, errTwice
		}
		resp, err := handler(ctx)
		return resp, markServed(err)
	})
}

// markServed says what a handler's error means for the policies around it: what this server could not
// do is its failure, all else is an answer. Nothing of it is a refusal that a limiter should hear of.
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
	v := md.Get(priorityKey)
	if len(v) == 0 || !c.trust(ctx) {
		return ctx
	}
	p, err := strconv.ParseInt(v[0], 10, 16)
	if err != nil {
		return ctx
	}
	return retry.WithPriority(ctx, retry.Priority(p))
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
