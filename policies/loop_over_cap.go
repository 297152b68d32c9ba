package policies

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// overCap is ErrExhausted by a hint above HintCap. httpx looks for the method OverCap: such a
// response is not handed back.
type overCap struct {
	loop      string
	hint, cap time.Duration
}

func (o *overCap) Error() string {
	return fmt.Sprintf("the callee asked for %v, above HintCap (%v)", o.hint, o.cap)
}
func (o *overCap) Unwrap() error { return retry.ErrExhausted }
func (o *overCap) OverCap()      {}

// GaveUp words the whole of the error for retry.Error.
func (o *overCap) GaveUp(attempts string) string {
	return fmt.Sprintf("%s: gave up after %s: %v", o.loop, attempts, o)
}
