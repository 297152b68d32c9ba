package grpcretry

import (
	"context"
	"io"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/reprise-go/reprise/retry"
)

// StreamClient sends streams through p.
//
// A server's stream (one request, many responses) is guarded up to its first response: until then
// it may be begun again, as a unary call may. A stream that breaks later is left to the caller,
// because only the caller knows what to do with half a stream: put a loop with policies.ResetAfter
// around the whole stream. Streams that the client sends are guarded at their beginning only:
// grpc-go opens them without waiting for the server, and what was sent cannot be sent again.
func StreamClient(p retry.Policy, opts ...Option) grpc.StreamClientInterceptor {
	c := configure(opts)
	return func(
		ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string,
		open grpc.Streamer, callOpts ...grpc.CallOption,
	) (grpc.ClientStream, error) {
		ctx = withMethod(ctx, method)
		repeatable := c.idempotent(method)
		begin := func(ctx context.Context) (grpc.ClientStream, error) {
			s, err := open(outgoing(ctx), desc, cc, method, callOpts...)
			return s, mark(err, nil, repeatable)
		}
		if desc.ClientStreams {
			s, err := retry.Do(ctx, p, func(attempt context.Context) (grpc.ClientStream, error) {
				stream, _, release := detach(ctx, attempt)
				s, err := begin(stream)
				release(err == nil)
				return s, err
			})
			return s, withStatus(err)
		}
		return &serverStream{ctx: ctx, policy: p, begin: begin, repeatable: repeatable}, nil
	}
}

// detach makes the context of a stream. It has the values of the attempt. Until it is released it
// ends with the attempt's or the caller's context, then with the caller's only: a timeout of the
// attempt must not end a stream that has begun to answer.
func detach(caller, attempt context.Context) (
	stream context.Context, cancel context.CancelFunc, release func(keep bool),
) {
	stream, stop := context.WithCancelCause(context.WithoutCancel(attempt))
	unbindAttempt := context.AfterFunc(attempt, func() { stop(context.Cause(attempt)) })
	unbindCaller := context.AfterFunc(caller, func() { stop(context.Cause(caller)) })
	context.AfterFunc(stream, func() { unbindCaller() }) // a stream that is over is forgotten
	// WithoutCancel hides the deadline, which must go to the server.
	if deadline, ok := caller.Deadline(); ok {
		var end context.CancelFunc
		stream, end = context.WithDeadline(stream, deadline)
		context.AfterFunc(stream, end)
	}
	cancel = func() { stop(context.Canceled) }
	return stream, cancel, func(keep bool) {
		unbindAttempt()
		if !keep {
			cancel()
		}
	}
}

// serverStream is the client's end of a server's stream. It keeps the request and begins the stream
// when the first response is asked for, inside the chain.
type serverStream struct {
	ctx        context.Context
	policy     retry.Policy
	begin      func(context.Context) (grpc.ClientStream, error)
	repeatable bool

	mu      sync.Mutex
	request any
	sent    bool
	stream  grpc.ClientStream // nil: not begun
	cancel  context.CancelFunc
	err     error // why it could not be begun
}

func (s *serverStream) SendMsg(m any) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.request, s.sent = m, true
	return nil
}

func (s *serverStream) CloseSend() error { return nil }

// RecvMsg begins the stream if it is not begun, in as many attempts as the policy makes.
func (s *serverStream) RecvMsg(m any) error {
	s.mu.Lock()
	stream, err := s.stream, s.err
	if stream == nil && err == nil {
		defer s.mu.Unlock()
		return s.first(m)
	}
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if err = stream.RecvMsg(m); err != nil {
		s.cancel() // it is over
	}
	return err
}

// first begins the stream and receives its first response. It requires that s.mu is held.
func (s *serverStream) first(m any) error {
	var over bool // the stream ended, well and without a response
	err := retry.Run(s.ctx, s.policy, func(attempt context.Context) error {
		ctx, cancel, release := detach(s.ctx, attempt)
		kept := false
		defer func() { release(kept) }()
		stream, err := s.begin(ctx)
		if err != nil {
			return err
		}
		if s.sent {
			// After an EOF RecvMsg tells why the stream ended.
			if err := stream.SendMsg(s.request); err != nil && err != io.EOF {
				return mark(err, nil, s.repeatable)
			}
		}
		if err := stream.CloseSend(); err != nil {
			return mark(err, nil, s.repeatable)
		}
		err = stream.RecvMsg(m)
		if over = err == io.EOF; over {
			err = nil
		}
		if err != nil {
			return mark(err, stream.Trailer(), s.repeatable)
		}
		s.stream, s.cancel, kept = stream, cancel, true
		return nil
	})
	if err != nil {
		s.err = withStatus(err)
		return s.err
	}
	if over {
		s.cancel()
		return io.EOF
	}
	return nil
}

// Header does not begin the stream: there is no header before the first response is asked for.
func (s *serverStream) Header() (metadata.MD, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		return nil, s.err
	}
	return s.stream.Header()
}

func (s *serverStream) Trailer() metadata.MD {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		return nil
	}
	return s.stream.Trailer()
}

func (s *serverStream) Context() context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stream == nil {
		return s.ctx
	}
	return s.stream.Context()
}
