package ratelimit_test

import (
	"fmt"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// Two processes under one quota: together they make ten calls a second. Here both are in this one,
// and the store is in memory; redislimit.New makes one on Redis.
func ExampleShared() {
	store := ratelimit.NewStore()
	here := ratelimit.New(100, 5, ratelimit.Shared(store, "catalog", ratelimit.Member("here")))
	there := ratelimit.New(100, 5, ratelimit.Shared(store, "catalog", ratelimit.Member("there")))

	begin := time.Now()
	for range 10 {
		_ = retry.Run(bg, here, nop)
		_ = retry.Run(bg, there, nop)
	}
	took := time.Since(begin) // a new limit has two leases without tokens, here 400 ms
	fmt.Println(here.Name(), here.Limit(), took > 500*time.Millisecond)
	// Output: catalog 100 true
}
