package grpcretry

import (
	"context"
	"errors"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/reprise-go/reprise/retry"
)

const (
	pushbackKey = "grpc-retry-pushback-ms"     // of gRFC A6: trailer of a server
	attemptsKey = "grpc-previous-rpc-attempts" // of gRFC A6: header of a client
	priorityKey = "reprise-priority"
)

// mark says what the outcome of an attempt means: see the package comment.
func mark(err error, trailer metadata.MD, repeatable bool) error {
	if err == nil {
		return nil
	}
	if v := retry.VerdictOf(err); v.Rejection != nil || v.Config { // of a chain further in
		return err
	}
	switch status.Code(err) {
	case codes.Canceled:
		return err
	case codes.ResourceExhausted:
		wait, asked := patience(err, trailer)
		if asked && wait < 0 {
			return retry.Permanent(retry.Neutral(retry.After(err, 0)))
		}
		return retry.Neutral(retry.After(err, max(0, wait)))
	case codes.Aborted:
		err = retry.Neutral(err)
	case codes.Unavailable, codes.DeadlineExceeded, codes.Internal, codes.Unknown:
		if !repeatable {
			return retry.Permanent(err)
		}
	case codes.DataLoss:
		return retry.Permanent(err)
	default:
		return retry.Permanent(retry.Neutral(err))
	}
	switch wait, asked := patience(err, trailer); {
	case asked && wait < 0:
		return retry.Permanent(&noMoreError{err})
	case asked:
		return retry.After(err, wait)
	}
	return err
}

// noMoreError is a failure after which the server wants no further attempt. retry.Spent asks for
// RetriesSpent, so that a server in the middle says the same to its own caller.
type noMoreError struct{ error }

func (e *noMoreError) Unwrap() error    { return e.error }
func (*noMoreError) RetriesSpent() bool { return true }

// patience is the wait that the server asked for; negative: it wants no further attempt.
func patience(err error, trailer metadata.MD) (wait time.Duration, asked bool) {
	if v := trailer.Get(pushbackKey); len(v) > 0 {
		ms, bad := strconv.ParseInt(v[0], 10, 32) // as grpc-go reads it
		if bad != nil || ms < 0 || len(v) > 1 {
			return -1, true
		}
		return time.Duration(ms) * time.Millisecond, true
	}
	for _, d := range status.Convert(err).Details() {
		if info, ok := d.(*errdetails.RetryInfo); ok && info.GetRetryDelay().AsDuration() >= 0 {
			return info.GetRetryDelay().AsDuration(), true
		}
	}
	return 0, false
}

// statusError gives an error of the chain a code.
type statusError struct {
	error
	code codes.Code
}

func (e *statusError) Unwrap() error              { return e.error }
func (e *statusError) GRPCStatus() *status.Status { return status.New(e.code, e.Error()) }

// withStatus gives err a code if nothing in it has one.
func withStatus(err error) error {
	if err == nil {
		return nil
	}
	var has interface{ GRPCStatus() *status.Status }
	if errors.As(err, &has) {
		return err
	}
	v := retry.VerdictOf(err)
	switch {
	case v.Config:
		return &statusError{err, codes.FailedPrecondition}
	case errors.Is(err, context.Canceled):
		return &statusError{err, codes.Canceled}
	case v.Rejection != nil && v.Rejection.Quota.Limit > 0:
		return &statusError{err, codes.ResourceExhausted}
	case v.Rejection != nil:
		return &statusError{err, codes.Unavailable}
	case errors.Is(err, context.DeadlineExceeded):
		return &statusError{err, codes.DeadlineExceeded}
	}
	return &statusError{err, codes.Unknown}
}
