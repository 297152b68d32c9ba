package policies

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// overCapError is ErrExhausted by a hint above HintCap. httpx looks for the method OverCap: such a
// response is not handed back.
type overCapError struct {
	loop      string
	hint, cap time.Duration
}

func (o *overCapError) Error() string {
	return fmt.Sprintf("the callee asked for %v, above HintCap (%v)", o.hint, o.cap)
}
func (o *overCapError) Unwrap() error { return retry.ErrExhausted }
func (o *overCapError) OverCap()      {}

// GaveUp words the whole of the error for retry.Error.
func (o *overCapError) GaveUp(attempts string) string {
	return fmt.Sprintf("%s: gave up after %s: %v", o.loop, attempts, o)
}
