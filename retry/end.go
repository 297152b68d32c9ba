package retry

import (
	"context"
	"errors"
	"fmt"
)

// Ended returns nil while ctx lives, and then one error that Is both ctx.Err() and
// context.Cause(ctx). A policy checks it before it lets a call in.
func Ended(ctx context.Context) error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	cause := context.Cause(ctx)
	if cause == err || errors.Is(cause, err) {
		return cause
	}
	return &pair{err, cause}
}

// pair is fmt.Errorf("%w: %w") that formats when it is printed: in an outage most errors never are.
type pair [2]error

func (p *pair) Error() string   { return fmt.Sprintf("%v: %v", p[0], p[1]) }
func (p *pair) Unwrap() []error { return p[:] }

// WithEnd adds what ended ctx to err, since callees often omit it: a command says that it was
// killed, net/http tells the cause only. The error it returns Is err, ctx.Err() and
// context.Cause(ctx). It returns err as it is if ctx lives, if err says it already, and if err is a
// configuration error. Do does this to what its chain returns.
func WithEnd(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	end := ctx.Err()
	if end == nil || errors.Is(err, ErrConfig) ||
		errors.Is(err, end) && errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return &pair{Ended(ctx), err}
}
