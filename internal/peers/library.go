package main

import (
	"context"
	"errors"
	"net/http"
	"time"
)

type (
	call = func(context.Context) (int, error)
	run  = func(context.Context, call) (int, error) // a guarded call

	// send makes one request, guarded; a nil body is none.
	send = func(ctx context.Context, method, url string, body []byte) (*http.Response, error)
)

// plan is the job of a retry loop: exponential waits from first up to most; none if first is 0.
type plan struct {
	attempts    int
	first, most time.Duration
}

// library is one way to do the jobs; what it cannot do is nil. What a library lets its users build
// once is built once; what it says is for one call, or holds the call's context, is built for each.
// Jitter is the library's own if it has one by default, else 50 %.
type library struct {
	name string
	loop func(plan) run
	// opens after so many in a row; closes after one success
	breaker func(failures int, open time.Duration) run
	limiter func(interval time.Duration, burst int) run
	// loop, limiter, breaker; no waits
	chain func(interval time.Duration, burst, failures int, open time.Duration) run
	// a breaker inside a loop
	inLoop func(failures int, open time.Duration) run
	// three attempts, waits from first
	client func(base http.RoundTripper, first time.Duration) send
	// a guard for each key
	keyed func(keys []string) func(key string) error
}

var libraries = []library{
	byHand, nothing, reprise, backoff4, backoff5, avast4, avast5, sethvargo, eapache, failsafeGo,
	sony, xtime, uberGo, retryable,
	mapAndMutex,
}

var errBoom = errors.New("boom")

func succeed(context.Context) (int, error) { return 42, nil }
func fail(context.Context) (int, error)    { return 7, errBoom }
