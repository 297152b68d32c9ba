package httpx

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/reprise-go/reprise/retry"
)

// arrival is one request on its way through a guard. It is the node in the handler's context that
// [ClientKey] and the guard's observer read. Goroutines that a handler leaves behind may still use
// it.
type arrival struct {
	context.Context
	*guarded
	request *http.Request
	inside  http.Request // the same, as the handler gets it
	answer  answer
	key     string
	fields  [2]string    // of the response: RateLimit-Policy and RateLimit
	stage   atomic.Int32 // of stages
	keyIs   atomic.Int32 // unknown, asked for or known
	room    retry.Room   // of the call through the policies
}

// The stages of an arrival.
const (
	arriving int32 = iota // the policies have not admitted it yet
	expired               // they have admitted it after its end
	handling              // the handler runs, or has run
)

// What is known of the client's key.
const (
	unknown int32 = iota
	asking
	known
)

type (
	arrivalKey struct{ *guard } // answered by that guard's arrival
	innermost  struct{}         // answered by every arrival
)

func (a *arrival) Value(key any) any {
	switch key := key.(type) {
	case innermost:
		return a
	case arrivalKey:
		if key.guard == a.guard {
			return a
		}
	}
	return a.Context.Value(key)
}

// clientKey is the key of the arrival's client. The function of GuardKey is called once, unless
// two goroutines need the key for the first time at the same moment.
func (a *arrival) clientKey() string {
	switch {
	case a.keyIs.Load() == known:
	case a.keyIs.CompareAndSwap(unknown, asking):
		a.key = a.guard.key(a.request)
		a.keyIs.Store(known)
	default:
		return a.guard.key(a.request)
	}
	return a.key
}

// ClientKey returns which client the request in ctx is from, by [GuardKey]. It is for the policies
// of a [Guard] and its handler; elsewhere it is empty. It is a key for policies.Keyed.
func ClientKey(ctx context.Context) string {
	a, _ := ctx.Value(innermost{}).(*arrival)
	if a == nil {
		return ""
	}
	a.answer.marks.Or(keyed)
	return a.clientKey()
}

var errTwice = retry.ConfigErrorf("httpx.Guard",
	"a policy has run the handler twice: retry on the client instead")

// Call runs the handler, and returns its failure as the policies should see it.
func (a *arrival) Call(ctx context.Context) error {
	if !a.stage.CompareAndSwap(arriving, handling) {
		return errTwice
	}
	if ended := retry.Ended(ctx); ended != nil {
		a.stage.Store(expired)
		return &retry.Rejection{Policy: "httpx.Guard", Reason: ended}
	}
	a.inside = *a.request.WithContext(ctx) // a copy here saves an allocation
	a.next.ServeHTTP(a.answer.shaped(), &a.inside)
	if a.request.MultipartForm == nil { // the server removes the files of its own request only
		a.request.MultipartForm = a.inside.MultipartForm
	}
	code := a.answer.code.Load()
	if code >= 500 {
		return servedError(code)
	}
	if !a.answer.begun() {
		return retry.Ended(ctx)
	}
	return nil
}

// servedError is a 5xx of the handler.
type servedError int

func (e servedError) Error() string {
	return fmt.Sprintf("the handler answered %d %s", int(e), http.StatusText(int(e)))
}

// StatusCode is for policies that look at the status, such as policies.Classify.
func (e servedError) StatusCode() int { return int(e) }
