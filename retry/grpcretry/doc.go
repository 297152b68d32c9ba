// Package grpcretry binds a chain of policies to gRPC, for clients and servers. It is a separate
// module, so that only its users require gRPC.
//
//	guard := retry.Chain(
//		policies.Exponential(policies.Attempts(4)),
//		policies.Keyed(grpcretry.Method, func(method string) retry.Policy {
//			return breaker.New(method)
//		}),
//	)
//	conn, err := grpc.NewClient(target,
//		grpc.WithChainUnaryInterceptor(grpcretry.UnaryClient(guard)),
//		grpc.WithChainStreamInterceptor(grpcretry.StreamClient(guard)),
//	)
//	server := grpc.NewServer(grpc.ChainUnaryInterceptor(grpcretry.UnaryServer(limiter)))
//
// # What a code means
//
//	OK                                            a success
//	Canceled                                      the caller's own doing
//	Unavailable, DeadlineExceeded, Internal,      the callee's failure: retried for idempotent
//	Unknown, DataLoss                             methods, except DataLoss
//	ResourceExhausted, Aborted                    not the callee's fault, and nothing was done:
//	                                              retried for any method. ResourceExhausted is a
//	                                              refusal, which pacers hear
//	all others: InvalidArgument, NotFound, ...    the final answer of a healthy callee
//
// A method is idempotent if its idempotency_level in the proto file says so (NO_SIDE_EFFECTS or
// IDEMPOTENT), or [Idempotent] does. grpc-retry-pushback-ms in the trailers is obeyed like a
// Retry-After, and so is the RetryInfo detail of a status; a negative or malformed pushback forbids
// a further attempt (gRFC A6). Each further attempt carries grpc-previous-rpc-attempts.
//
// # Between services
//
// A server that trusts its caller ([Trust]) takes over the caller's priority. If the call is a
// repeated attempt, the loops in the server's handler leave retrying to the caller's loop: see
// retry.WithRemoteAttempt. If a loop in a handler has repeated its calls in vain, the server
// forbids a further attempt by a pushback of -1. So three services with three attempts each call a
// dead one three times, not 27 times.
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
// Use either its retries or these, not both: grpc.WithDisableRetry disables those of grpc-go. It
// does not hedge; [Hedge] does.
package grpcretry
