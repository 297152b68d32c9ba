package grpcretry

import (
	"context"
	"reflect"
	"strconv"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"

	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
)

type methodKey struct{}

// Method returns the method of the call that ctx belongs to, as "/shop.Catalog/Get", on either
// side. It is a key for policies.Keyed.
func Method(ctx context.Context) string {
	m, _ := ctx.Value(methodKey{}).(string)
	return m
}

func withMethod(ctx context.Context, method string) context.Context {
	return context.WithValue(ctx, methodKey{}, method)
}

// outgoing adds what an attempt tells its server.
func outgoing(ctx context.Context) context.Context {
	if p := retry.PriorityOf(ctx); p != retry.Normal {
		ctx = metadata.AppendToOutgoingContext(ctx, priorityKey, strconv.Itoa(int(p)))
	}
	if n := retry.Attempt(ctx); n > 1 {
		ctx = metadata.AppendToOutgoingContext(ctx, attemptsKey, strconv.Itoa(n-1))
	}
	return ctx
}

// UnaryClient sends each unary call through p. A nil p adds nothing but the marks on errors.
func UnaryClient(p retry.Policy, opts ...Option) grpc.UnaryClientInterceptor {
	c := configure(opts)
	return func(
		ctx context.Context, method string, req, reply any, cc *grpc.ClientConn,
		invoke grpc.UnaryInvoker, callOpts ...grpc.CallOption,
	) error {
		repeatable := c.idempotent(method)
		attempt := func(ctx context.Context, into any) error {
			var trailer metadata.MD
			with := append(callOpts[:len(callOpts):len(callOpts)], grpc.Trailer(&trailer))
			return mark(invoke(outgoing(ctx), method, req, into, cc, with...), trailer, repeatable)
		}
		call := func(ctx context.Context) error { return attempt(ctx, reply) }
		if message, ok := reply.(proto.Message); ok && repeatable && c.hedgeMax > 1 {
			call = c.hedged(message, attempt)
		}
		return withStatus(retry.Run(withMethod(ctx, method), p, call))
	}
}

// hedged gives each call its own reply, and the caller the reply of the call that won.
func (c config) hedged(
	reply proto.Message, attempt func(context.Context, any) error,
) func(context.Context) error {
	one := func(ctx context.Context) (proto.Message, error) {
		into := reflect.New(reflect.TypeOf(reply).Elem()).Interface().(proto.Message)
		return into, attempt(ctx, into)
	}
	race := policies.Hedge(one, c.hedgeAfter, c.hedgeMax, nil)
	return func(ctx context.Context) error {
		won, err := race(ctx)
		if err == nil {
			proto.Reset(reply)
			proto.Merge(reply, won)
		}
		return err
	}
}
