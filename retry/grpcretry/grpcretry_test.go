package grpcretry_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	pb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/grpcretry"
)

// step is what the server does with one call.
type step struct {
	code     codes.Code
	pushback string // trailer
	info     time.Duration
	wait     time.Duration
}

// server answers the calls it gets with its steps, the last one again and again.
type server struct {
	pb.UnimplementedTestServiceServer
	mu       sync.Mutex
	steps    []step
	seen     []metadata.MD
	priority []retry.Priority
	methods  []string
}

func (s *server) next(ctx context.Context, setTrailer func(metadata.MD)) error {
	s.mu.Lock()
	md, _ := metadata.FromIncomingContext(ctx)
	s.seen = append(s.seen, md)
	s.priority = append(s.priority, retry.PriorityOf(ctx))
	s.methods = append(s.methods, grpcretry.Method(ctx))
	st := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	s.mu.Unlock()
	if st.wait > 0 {
		select {
		case <-time.After(st.wait):
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
	}
	if st.code == codes.OK {
		return nil
	}
	if st.pushback != "" {
		setTrailer(metadata.Pairs("grpc-retry-pushback-ms", st.pushback))
	}
	answer := status.New(st.code, "scripted")
	if st.info != 0 {
		answer, _ = answer.WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(st.info)})
	}
	return answer.Err()
}

func (s *server) calls() int { s.mu.Lock(); defer s.mu.Unlock(); return len(s.seen) }

func (s *server) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	err := s.next(ctx, func(md metadata.MD) { _ = grpc.SetTrailer(ctx, md) })
	return &pb.SimpleResponse{Payload: r.Payload}, err
}

func (s *server) StreamingOutputCall(r *pb.StreamingOutputCallRequest,
	out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	if err := s.next(out.Context(), out.SetTrailer); err != nil {
		return err
	}
	for range r.ResponseParameters {
		if err := out.Send(&pb.StreamingOutputCallResponse{Payload: r.Payload}); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) StreamingInputCall(in grpc.ClientStreamingServer[
	pb.StreamingInputCallRequest, pb.StreamingInputCallResponse]) error {
	n := int32(0)
	for {
		_, err := in.Recv()
		if err == io.EOF {
			return in.SendAndClose(&pb.StreamingInputCallResponse{AggregatedPayloadSize: n})
		}
		if err != nil {
			return err
		}
		n++
	}
}

// connect starts s and returns a client of it.
func connect(t *testing.T, s *server, serve []grpc.ServerOption,
	dial ...grpc.DialOption) pb.TestServiceClient {
	t.Helper()
	return connectTo(t, s, serve, dial...)
}

// connectTo is connect for any service.
func connectTo(t *testing.T, s pb.TestServiceServer, serve []grpc.ServerOption,
	dial ...grpc.DialOption) pb.TestServiceClient {
	t.Helper()
	l := bufconn.Listen(1 << 16)
	dial = append(dial,
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return l.DialContext(ctx)
		}))
	return start(t, s, l, "passthrough:///bufconn", serve, dial)
}

func start(t *testing.T, s pb.TestServiceServer, l net.Listener, target string,
	serve []grpc.ServerOption, dial []grpc.DialOption) pb.TestServiceClient {
	t.Helper()
	srv := grpc.NewServer(serve...)
	pb.RegisterTestServiceServer(srv, s)
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(srv.Stop)
	conn, err := grpc.NewClient(target,
		append(dial, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDisableRetry())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return pb.NewTestServiceClient(conn)
}

func everyMethod(string) bool { return true }

func client(p retry.Policy, opts ...grpcretry.Option) []grpc.DialOption {
	return []grpc.DialOption{grpc.WithChainUnaryInterceptor(grpcretry.UnaryClient(p, opts...)),
		grpc.WithChainStreamInterceptor(grpcretry.StreamClient(p, opts...))}
}

var fail = codes.Unavailable

func TestWhatIsRetried(t *testing.T) {
	for name, tc := range map[string]struct {
		first      step
		idempotent bool
		calls      int
		code       codes.Code
		neutral    bool
	}{
		"unavailable":                 {step{code: fail}, true, 2, codes.OK, false},
		"unavailable, not idempotent": {step{code: fail}, false, 1, fail, false},
		"internal":                    {step{code: codes.Internal}, true, 2, codes.OK, false},
		"not found":                   {step{code: codes.NotFound}, true, 1, codes.NotFound, true},
		"data loss":                   {step{code: codes.DataLoss}, true, 1, codes.DataLoss, false},
		"aborted, not idempotent":     {step{code: codes.Aborted}, false, 2, codes.OK, false},
		"exhausted, not idempotent": {
			step{code: codes.ResourceExhausted}, false, 2, codes.OK, false},
		"pushback forbids":      {step{code: fail, pushback: "-1"}, true, 1, fail, false},
		"pushback is malformed": {step{code: fail, pushback: "soon"}, true, 1, fail, false},
		"pushback is far too large": {
			step{code: fail, pushback: "99999999999999999999"}, true, 1, fail, false},
		"pushback is empty": {step{code: fail, pushback: " "}, true, 1, fail, false},
		"retry info is negative": {
			step{code: fail, info: -time.Hour}, true, 2, codes.OK, false},
		"pushback forbids, exhausted": {
			step{code: codes.ResourceExhausted, pushback: "-1"}, true, 1,
			codes.ResourceExhausted, true},
		"pushback": {step{code: fail, pushback: "1"}, true, 2, codes.OK, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{steps: []step{tc.first, {}}}
			loop := policies.Constant(0, policies.Attempts(3))
			c := connect(t, s, nil,
				client(loop, grpcretry.Idempotent(func(string) bool { return tc.idempotent }))...)
			resp, err := c.UnaryCall(t.Context(),
				&pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("x")}})
			if status.Code(err) != tc.code || s.calls() != tc.calls {
				t.Errorf("%v after %d calls", err, s.calls())
			}
			if err == nil && string(resp.Payload.Body) != "x" {
				t.Errorf("got %v", resp)
			}
			if v := retry.VerdictOf(err); v.Neutral != tc.neutral {
				t.Errorf("%+v", v)
			}
		})
	}
}

func TestWaitsThatAServerAsksFor(t *testing.T) {
	for name, st := range map[string]step{
		"pushback":            {code: fail, pushback: "3600000"},
		"retry info":          {code: codes.ResourceExhausted, info: time.Hour},
		"pushback beats info": {code: fail, pushback: "3600000", info: time.Millisecond},
	} {
		s := &server{steps: []step{st}}
		c := connect(t, s, nil,
			client(policies.Constant(0, policies.Attempts(3)),
				grpcretry.Idempotent(everyMethod))...)
		_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{})
		var gaveUp *retry.Error
		if !errors.As(err, &gaveUp) || gaveUp.Wait != time.Hour || s.calls() != 1 {
			t.Errorf("%s: %v after %d calls", name, err, s.calls())
		}
	}
}

func TestAttemptsAndPriorityTravel(t *testing.T) {
	for _, trusted := range []bool{false, true} {
		s := &server{steps: []step{{code: fail}, {code: fail}, {}}}
		serve := []grpc.ServerOption{grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(nil,
			grpcretry.Trust(func(context.Context) bool { return trusted })))}
		c := connect(t, s, serve,
			client(policies.Constant(0, policies.Attempts(3)),
				grpcretry.Idempotent(everyMethod))...)
		_, err := c.UnaryCall(retry.WithPriority(t.Context(), retry.Critical), &pb.SimpleRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"", "1", "2"} {
			got := ""
			if v := s.seen[i].Get("grpc-previous-rpc-attempts"); len(v) > 0 {
				got = v[0]
			}
			priority := retry.Normal
			if trusted {
				priority = retry.Critical
			}
			if got != want || s.priority[i] != priority ||
				s.methods[i] != pb.TestService_UnaryCall_FullMethodName {
				t.Errorf("call %d: attempts %q, priority %d, method %q", i, got, s.priority[i],
					s.methods[i])
			}
		}
	}
}

// relay is a service that calls the next one.
type relay struct {
	pb.UnimplementedTestServiceServer
	next pb.TestServiceClient
}

func (r *relay) UnaryCall(ctx context.Context, in *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	return r.next.UnaryCall(ctx, in)
}

func TestThreeHopsOfThreeAttemptsDoNotMultiply(t *testing.T) {
	loop := client(policies.Constant(0, policies.Attempts(3)), grpcretry.Idempotent(everyMethod))
	for trust, most := range map[bool]int{true: 4, false: 4} {
		serve := []grpc.ServerOption{grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(nil,
			grpcretry.Trust(func(context.Context) bool { return trust })))}
		dead := &server{steps: []step{{code: fail}}}
		leaf := connect(t, dead, nil, loop...)
		c := connectTo(t, &relay{next: connectTo(t, &relay{next: leaf}, serve, loop...)}, serve,
			loop...)
		if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}); status.Code(err) != fail {
			t.Error(err)
		}
		if n := dead.calls(); n > most || n < 3 {
			t.Errorf("trusted %v: %d calls of the dead service", trust, n)
		}
	}
}

func TestAFurtherAttemptOfATrustedCallerIsNotRepeated(t *testing.T) {
	for attempts, want := range map[string]int{"": 3, "0": 1, "2": 1, "junk": 3, "-1": 3} {
		dead := &server{steps: []step{{code: fail}}}
		leaf := connect(t, dead, nil,
			client(policies.Constant(0, policies.Attempts(3)),
				grpcretry.Idempotent(everyMethod))...)
		serve := []grpc.ServerOption{grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(nil,
			grpcretry.Trust(func(context.Context) bool { return true })))}
		c := connectTo(t, &relay{next: leaf}, serve)
		ctx := t.Context()
		if attempts != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "grpc-previous-rpc-attempts", attempts)
		}
		var trailer metadata.MD
		_, _ = c.UnaryCall(ctx, &pb.SimpleRequest{}, grpc.Trailer(&trailer))
		pushback := ""
		if v := trailer.Get("grpc-retry-pushback-ms"); len(v) > 0 {
			pushback = v[0]
		}
		if said := pushback == "-1"; dead.calls() != want || said != (want == 3) {
			t.Errorf("%q: %d calls, pushback %q", attempts, dead.calls(), pushback)
		}
	}
}

func TestABreakerIsNotOpenedByAnswers(t *testing.T) {
	b := breaker.New("b", breaker.ConsecutiveFailures(2))
	s := &server{steps: []step{{code: codes.NotFound}}}
	c := connect(t, s, nil, client(b)...)
	for range 5 {
		_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{})
		if status.Code(err) != codes.NotFound {
			t.Fatal(err)
		}
	}
	s.steps = []step{{code: codes.Unavailable}}
	for range 2 {
		_, _ = c.UnaryCall(t.Context(), &pb.SimpleRequest{})
	}
	_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{})
	if !errors.Is(err, breaker.ErrOpen) || status.Code(err) != codes.Unavailable || s.calls() != 7 {
		t.Errorf("%v after %d calls", err, s.calls())
	}
}

func TestHedge(t *testing.T) {
	s := &server{steps: []step{{wait: time.Minute}, {}}}
	c := connect(t, s, nil,
		client(nil, grpcretry.Idempotent(everyMethod), grpcretry.Hedge(10*time.Millisecond, 2))...)
	resp, err := c.UnaryCall(t.Context(),
		&pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("won")}})
	if err != nil || string(resp.Payload.GetBody()) != "won" || s.calls() != 2 {
		t.Errorf("%v, %v after %d calls", resp, err, s.calls())
	}
	s = &server{steps: []step{{wait: 50 * time.Millisecond}}}
	c = connect(t, s, nil, client(nil, grpcretry.Hedge(time.Millisecond, 2))...)
	if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}); err != nil || s.calls() != 1 {
		t.Errorf("not idempotent: %v after %d calls", err, s.calls())
	}
}

func TestAServersStreamIsGuardedUpToItsFirstResponse(t *testing.T) {
	three := &pb.StreamingOutputCallRequest{Payload: &pb.Payload{Body: []byte("x")},
		ResponseParameters: make([]*pb.ResponseParameters, 3)}
	for i := range three.ResponseParameters {
		three.ResponseParameters[i] = &pb.ResponseParameters{}
	}
	for name, tc := range map[string]struct {
		steps    []step
		request  *pb.StreamingOutputCallRequest
		messages int
		code     codes.Code
		calls    int
	}{
		"well at once":      {[]step{{}}, three, 3, codes.OK, 1},
		"well at the third": {[]step{{code: fail}, {code: fail}, {}}, three, 3, codes.OK, 3},
		"empty":             {[]step{{}}, &pb.StreamingOutputCallRequest{}, 0, codes.OK, 1},
		"never well":        {[]step{{code: fail}}, three, 0, fail, 3},
		"a final answer":    {[]step{{code: codes.NotFound}}, three, 0, codes.NotFound, 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{steps: tc.steps}
			guard := retry.Chain(policies.Constant(0, policies.Attempts(3)),
				policies.Timeout(time.Minute))
			c := connect(t, s, nil, client(guard, grpcretry.Idempotent(everyMethod))...)
			stream, err := c.StreamingOutputCall(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			got := 0
			for {
				m, err := stream.Recv()
				if err == io.EOF {
					break
				}
				if err != nil {
					if status.Code(err) != tc.code {
						t.Errorf("%v", err)
					}
					break
				}
				if string(m.Payload.Body) != "x" {
					t.Errorf("%v", m)
				}
				got++
			}
			if got != tc.messages || s.calls() != tc.calls {
				t.Errorf("%d messages in %d calls", got, s.calls())
			}
		})
	}
}

func TestAClientsStream(t *testing.T) {
	s := &server{}
	c := connect(t, s, nil, client(policies.Constant(0), grpcretry.Idempotent(everyMethod))...)
	stream, err := c.StreamingInputCall(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := stream.Send(&pb.StreamingInputCallRequest{}); err != nil {
			t.Fatal(err)
		}
	}
	if resp, err := stream.CloseAndRecv(); err != nil || resp.AggregatedPayloadSize != 5 {
		t.Errorf("%v, %v", resp, err)
	}
	open := breaker.New("b")
	open.Isolate()
	c = connect(t, s, nil, client(open)...)
	if _, err := c.StreamingInputCall(t.Context()); !errors.Is(err, breaker.ErrOpen) ||
		status.Code(err) != codes.Unavailable {
		t.Errorf("%v", err)
	}
}

func TestServerRejects(t *testing.T) {
	isolated := breaker.New("b")
	isolated.Isolate()
	for name, tc := range map[string]struct {
		guard retry.Policy
		code  codes.Code
		waits bool
	}{
		"a limiter": {ratelimit.New(1, 1, ratelimit.MaxWait(0)), codes.ResourceExhausted, true},
		"a breaker": {isolated, codes.Unavailable, false},
		"a loop":    {policies.Constant(0), codes.FailedPrecondition, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := &server{steps: []step{{}}}
			if name == "a loop" {
				s.steps = []step{{code: codes.Unavailable}}
				tc.guard = again{}
			}
			serve := []grpc.ServerOption{
				grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(tc.guard)),
				grpc.ChainStreamInterceptor(grpcretry.StreamServer(tc.guard)),
			}
			c := connect(t, s, serve)
			var trailer metadata.MD
			var err error
			for range 2 {
				_, err = c.UnaryCall(t.Context(), &pb.SimpleRequest{}, grpc.Trailer(&trailer))
			}
			if status.Code(err) != tc.code ||
				(len(trailer.Get("grpc-retry-pushback-ms")) > 0) != tc.waits {
				t.Errorf("%v, trailer %v", err, trailer)
			}
			stream, err := c.StreamingOutputCall(t.Context(), &pb.StreamingOutputCallRequest{})
			if err == nil {
				_, err = stream.Recv()
			}
			if status.Code(err) != tc.code {
				t.Errorf("a stream: %v", err)
			}
		})
	}
}

// again runs the rest of the chain twice, whatever comes of it.
type again struct{}

func (again) Do(ctx context.Context, next retry.Next) error {
	_ = next.Do(ctx)
	return next.Do(ctx)
}

func TestHandlersErrorsAreVerdictsOnTheServer(t *testing.T) {
	b := breaker.New("b", breaker.ConsecutiveFailures(2))
	s := &server{steps: []step{{code: codes.InvalidArgument}}}
	c := connect(t, s, []grpc.ServerOption{grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(b))})
	for range 5 {
		_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{})
		if status.Code(err) != codes.InvalidArgument {
			t.Fatal(err)
		}
	}
	s.steps = []step{{code: codes.Internal}}
	for range 3 {
		_, _ = c.UnaryCall(t.Context(), &pb.SimpleRequest{})
	}
	if b.State() != breaker.Open || s.calls() != 7 {
		t.Errorf("%v after %d calls", b.State(), s.calls())
	}
}

func TestOverARealConnection(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{steps: []step{{code: fail}, {}}}
	c := start(t, s, l, l.Addr().String(), nil,
		client(policies.Constant(0), grpcretry.Idempotent(everyMethod)))
	if _, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{}); err != nil || s.calls() != 2 {
		t.Errorf("%v after %d calls", err, s.calls())
	}
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := gone.Addr().String()
	gone.Close()
	conn, err := grpc.NewClient(address,
		append(client(policies.Constant(0, policies.Attempts(2)),
			grpcretry.Idempotent(everyMethod)),
			grpc.WithTransportCredentials(insecure.NewCredentials()))...)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, err = pb.NewTestServiceClient(conn).UnaryCall(t.Context(), &pb.SimpleRequest{})
	if status.Code(err) != codes.Unavailable || !errors.Is(err, retry.ErrExhausted) {
		t.Errorf("nobody listens: %v", err)
	}
}

func TestTheProtoFileSaysWhatMayBeRepeated(t *testing.T) {
	file := &descriptorpb.FileDescriptorProto{
		Name: proto.String("grpcretry_test.proto"), Package: proto.String("grpcretry.test"),
		Syntax:      proto.String("proto3"),
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("M")}},
		Service:     []*descriptorpb.ServiceDescriptorProto{{Name: proto.String("S")}},
	}
	for name, level := range map[string]descriptorpb.MethodOptions_IdempotencyLevel{
		"Get":  descriptorpb.MethodOptions_NO_SIDE_EFFECTS,
		"Put":  descriptorpb.MethodOptions_IDEMPOTENT,
		"Post": descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN,
	} {
		file.Service[0].Method = append(file.Service[0].Method, &descriptorpb.MethodDescriptorProto{
			Name: proto.String(name), InputType: proto.String(".grpcretry.test.M"),
			OutputType: proto.String(".grpcretry.test.M"),
			Options:    &descriptorpb.MethodOptions{IdempotencyLevel: level.Enum()},
		})
	}
	fd, err := protodesc.NewFile(file, protoregistry.GlobalFiles)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := protoregistry.GlobalFiles.FindFileByPath(fd.Path()); err != nil { // -count=2
		if err := protoregistry.GlobalFiles.RegisterFile(fd); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]int{"Get": 2, "Put": 2, "Post": 1, "Unknown": 1} {
		calls := 0
		intercept := grpcretry.UnaryClient(policies.Constant(0, policies.Attempts(2)))
		_ = intercept(t.Context(), "/grpcretry.test.S/"+name, nil, nil, nil,
			func(context.Context, string, any, any, *grpc.ClientConn, ...grpc.CallOption) error {
				calls++
				return status.Error(codes.Unavailable, "x")
			})
		if calls != want {
			t.Errorf("%s: %d calls, want %d", name, calls, want)
		}
	}
}

// TestPushbackForbids: a pushback that is negative, malformed, too large to be meant, or there
// twice forbids a further attempt, as in gRFC A6.
func TestPushbackForbids(t *testing.T) {
	for _, trailer := range [][]string{{"-1"}, {"-9999999999"}, {""}, {"1s"}, {"1.5"}, {"0x10"},
		{"99999999999999999999"}, {"1", "1"}, {"1", "2", "3"}} {
		for _, code := range []codes.Code{fail, codes.ResourceExhausted, codes.Aborted} {
			s := &pushing{code: code, pushback: trailer}
			c := connectTo(t, s, nil, client(policies.Constant(0, policies.Attempts(3)),
				grpcretry.Idempotent(everyMethod))...)
			_, err := c.UnaryCall(t.Context(), &pb.SimpleRequest{})
			if n := s.calls.Load(); n != 1 || !retry.IsPermanent(err) || status.Code(err) != code {
				t.Errorf("%q with %v: %v after %d calls", trailer, code, err, n)
			}
		}
	}
}

// pushing answers every call with one code and some values of the pushback trailer.
type pushing struct {
	pb.UnimplementedTestServiceServer
	code     codes.Code
	pushback []string
	calls    atomic.Int32
}

func (s *pushing) UnaryCall(ctx context.Context, _ *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	s.calls.Add(1)
	_ = grpc.SetTrailer(ctx, metadata.MD{"grpc-retry-pushback-ms": s.pushback})
	return nil, status.Error(s.code, "scripted")
}

// TestAHedgeThatIsRefused does not end the call that is under way.
func TestAHedgeThatIsRefused(t *testing.T) {
	for _, code := range []codes.Code{codes.ResourceExhausted, fail} {
		s := &pair{code: code, refused: make(chan struct{})}
		c := connectTo(t, s, nil, client(nil, grpcretry.Idempotent(everyMethod),
			grpcretry.Hedge(time.Millisecond, 2))...)
		resp, err := c.UnaryCall(t.Context(),
			&pb.SimpleRequest{Payload: &pb.Payload{Body: []byte("first")}})
		if err != nil || string(resp.GetPayload().GetBody()) != "first" || s.calls.Load() != 2 {
			t.Errorf("%v: %v, %v after %d calls", code, resp, err, s.calls.Load())
		}
	}
}

// pair refuses the second call, and answers the first one after that.
type pair struct {
	pb.UnimplementedTestServiceServer
	code    codes.Code
	calls   atomic.Int32
	refused chan struct{}
}

func (s *pair) UnaryCall(ctx context.Context, r *pb.SimpleRequest) (*pb.SimpleResponse, error) {
	if s.calls.Add(1) == 2 {
		defer close(s.refused)
		return nil, status.Error(s.code, "scripted")
	}
	select {
	case <-s.refused:
		time.Sleep(10 * time.Millisecond) // let the client hear of it first; nothing hangs on it
		return &pb.SimpleResponse{Payload: r.Payload}, nil
	case <-ctx.Done():
		return nil, status.FromContextError(ctx.Err()).Err()
	}
}

// TestAStreamThatIsCancelledInTheMiddle is the caller's own doing: it is not begun again, and no
// breaker counts it.
func TestAStreamThatIsCancelledInTheMiddle(t *testing.T) {
	s := &endless{}
	b := breaker.New("b", breaker.ConsecutiveFailures(1))
	c := connectTo(t, s, nil, client(retry.Chain(policies.Constant(0, policies.Attempts(3)), b),
		grpcretry.Idempotent(everyMethod))...)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		stream, err := c.StreamingOutputCall(ctx, &pb.StreamingOutputCallRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := stream.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		cancel()
		for err == nil { // what had come already
			_, err = stream.Recv()
		}
		if status.Code(err) != codes.Canceled {
			t.Errorf("cancelled in the middle: %v", err)
		}
		if _, again := stream.Recv(); again == nil {
			t.Error("it went on")
		}
	}
	s.running.Wait() // the server has heard of it each time
	if n := s.calls.Load(); n != 3 || b.State() != breaker.Closed {
		t.Errorf("%d calls, the breaker is %v", n, b.State())
	}
}

// endless sends until its client is gone.
type endless struct {
	pb.UnimplementedTestServiceServer
	calls   atomic.Int32
	running sync.WaitGroup
}

func (s *endless) StreamingOutputCall(_ *pb.StreamingOutputCallRequest,
	out grpc.ServerStreamingServer[pb.StreamingOutputCallResponse]) error {
	s.running.Add(1)
	defer s.running.Done()
	s.calls.Add(1)
	for {
		if err := out.Send(&pb.StreamingOutputCallResponse{}); err != nil {
			return err
		}
	}
}
