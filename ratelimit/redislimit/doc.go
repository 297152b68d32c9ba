// Package redislimit keeps a limit for a fleet of processes on Redis (5 or later) or Valkey:
//
//	client := redis.NewClient(&redis.Options{
//		Addr:                  "redis:6379",
//		MaxRetries:            -1,   // a limiter asks again by itself
//		ContextTimeoutEnabled: true, // and gives a question up after 50 ms or four round trips
//	})
//	limit := ratelimit.New(10, 5, ratelimit.Shared(redislimit.New(client), "catalog"))
//
// A limiter asks for blocks of dated tokens and spends them itself, so a call costs no round trip:
// at saturation a process asks about once in the time of a lease, which is that of 20 calls and
// from 100 ms to 1 s. A question is one short script, run with EVALSHA.
//
// # What is promised
//
// In any time w all processes together make at most
//
//	burst + limit*(w + lease)        calls, and with ratelimit.Strict
//	burst + limit*w
//
// however many they are. FLUSHALL, an empty server and a killed process add nothing; the first two
// cost two leases without tokens. While the server cannot be reached ratelimit.OnLoss says what
// happens: by default each process goes on with its own part of the limit, and an outage adds at
// most limit*lease (ratelimit.Shared has the small print).
//
// The same store serves pacers, which learn one limit together:
//
//	pacer := ratelimit.NewPacer(ratelimit.Shared(redislimit.New(client), "shop.example"))
//
// A refusal or a Retry-After that one of them hears holds all within a lease and a round trip. No
// bound can be promised there, because nobody knows the limit.
//
// # What is not
//
// Redis replicates asynchronously: a replica that is promoted without what the primary granted in
// its last d grants it again, at most min(limit*d, burst + 2*limit*lease) tokens, less what the
// processes remember of the bucket, which they tell with each question. A server clock that jumps
// forward by any time adds up to burst + 2*limit*lease, one that jumps back nothing. Processes that
// are cut off from a server which others still reach use their parts of the limit besides what the
// others get. An answer that takes longer than the lease is of no use: set a longer ratelimit.Lease
// across oceans.
//
// # Keys
//
// {reprise:NAME}:b, a hash, and {reprise:NAME}:w, a sorted set of the members that asked lately,
// both in one slot of a cluster, whatever bytes NAME has. They expire after 24 hours without a
// question. The script needs the commands TIME, HMGET, HSET, ZADD, ZREMRANGEBYSCORE, ZCARD, ZRANGE,
// ZINCRBY and PEXPIRE.
//
// The command in the folder fleet measures all this with real processes and a real server:
//
//	go run ./ratelimit/redislimit/fleet
package redislimit
