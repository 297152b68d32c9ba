// Package retrydebug shows what guards are doing: an http.Handler with a page for people and JSON
// for programs.
//
//	debug := retrydebug.New()
//	guard := debug.Watch("catalog", retry.Chain(policies.Exponential(), breaker.New("catalog")))
//	http.Handle("/debug/guards", debug)
//
// The page lists every guard and the policies in it with their states, rates, queues and counts,
// the last events and the flight records of the slowest calls. It needs no script: it reloads
// itself every 2 seconds, or as ?refresh=10 says, and never with ?refresh=0. ?format=json, or an
// Accept header that asks for application/json, gives the same as JSON.
//
// The handler shows error texts and the names of hosts and tenants: serve it only where you would
// serve net/http/pprof. It never changes anything.
package retrydebug
