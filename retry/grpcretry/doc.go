// Package grpcretry binds a chain of policies to gRPC, for clients and servers. It is a separate
// module, so that only its users require gRPC.
//
//	guard := retry.Chain(
//		policies.Exponential(policies.Attempts(4)),
//		policies.Keyed(grpcretry.Method, func(method string) retry.Policy { return breaker.New(method) }),
//	)
//	conn, err := grpc.NewClient(target,
//		grpc.WithChainUnaryInterceptor(grpcretry.UnaryClient(guard)),
//		grpc.WithChainStreamInterceptor(grpcretry.StreamClient(guard)),
//	)
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(limiter)))
//
// # What a code means
//
//	OK, Canceled                                  as ever: a success, the caller's own doing
//	Unavailable, DeadlineExceeded, Internal,      the callee's failure. Retried for idempotent methods
//	Unknown, DataLoss                             (not DataLoss)
//	ResourceExhausted, Aborted                    not the callee's fault, not acted on: retried for any method;
//	                                              ResourceExhausted is a refusal, which pacers hear
//	all others: InvalidArgument, NotFound, ...    the final answer of a healthy callee
//
// A method is idempotent if its idempotency_level in the proto file says so (NO_SIDE_EFFECTS or
// IDEMPOTENT), or [Idempotent] does. grpc-retry-pushback-ms in the trailers is obeyed like a
// Retry-After, and so is the RetryInfo detail of a status; a negative or malformed pushback forbids
// a further attempt (gRFC A6). Each further attempt carries grpc-previous-rpc-attempts.
//
// # Between services
//
// A server that trusts its caller ([Trust]) takes over its priority, and the loops in its handler
// leave the retrying of a further attempt to the caller's loop: see retry.WithRemoteAttempt. A
// handler whose own loop has repeated its calls in vain forbids a further attempt by a pushback of
// -1. So three services of three attempts each call a dead one three times and not 27 times.
//
// # Errors
//
// What comes back is the error of the chain: errors.Is and errors.As find breaker.ErrOpen, a
// *retry.Rejection, a *retry.Error, and status.Code the code of the last failure. A call that was
// rejected before any attempt has the code Unavailable, or ResourceExhausted by a limiter.
//
// # gRPC's own retries
//
// grpc-go retries by service config, and it silently repeats a stream that the server has not seen.
// Use either its retries or these, not both: grpc.WithDisableRetry disables them. grpc-go does not
// hedge; [Hedge] does.
package grpcretry
