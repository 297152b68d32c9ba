// Package redislimit keeps a limit for a fleet of processes on Redis (5 or later) or Valkey:
//
//	client := redis.NewClient(&redis.Options{
//		Addr:                  "redis:6379",
//		MaxRetries:            -1,   // the limiter retries itself
//		ContextTimeoutEnabled: true, // and gives up after 50 ms or four round trips
//	})
//	limit := ratelimit.New(10, 5, ratelimit.Shared(redislimit.New(client), "catalog"))
//
// A limiter asks for blocks of dated tokens and spends them itself, so a call needs no round trip:
// at saturation a process asks about once per lease, which is the time of 20 calls, but 100 ms to 1
// s. A request is one short script, run with EVALSHA.
//
// # What is promised
//
// In any time w all processes together make at most
//
//	burst + limit*(w + lease)        calls, and with ratelimit.Strict
//	burst + limit*w
//
// however many they are. FLUSHALL, an empty server and a killed process add nothing to that; after
// the first two there are no tokens for two leases. While the server cannot be reached
// ratelimit.OnLoss says what happens: by default each process goes on with its own part of the
// limit, and an outage adds at most limit*lease (ratelimit.Shared has the details).
//
// The same store serves pacers, which learn one limit together:
//
//	pacer := ratelimit.NewPacer(ratelimit.Shared(redislimit.New(client), "shop.example"))
//
// A refusal or a Retry-After that one of them gets holds all of them within a lease and a round
// trip. No bound can be promised here, because nobody knows the limit.
//
// # What is not
//
// Redis replicates asynchronously. If a replica is promoted that has not seen what the primary
// granted in its last time d, it grants that again: at most min(limit*d, burst + 2*limit*lease)
// tokens, and fewer if the processes, which send what they know of the bucket with each request,
// know better. If the server's clock jumps forward that adds up to burst + 2*limit*lease, whatever
// the jump; if it jumps back it adds nothing. Processes that cannot reach a server which others
// still reach use their parts of the limit in addition to what the others get. An answer that takes
// longer than the lease is useless: set a longer ratelimit.Lease across oceans.
//
// The wall clocks of the processes do not matter, because only relative times are sent and each
// process counts them by its monotonic clock. That stands still while a machine sleeps, so a
// process on it may spend late what it had in stock.
//
// # Keys
//
// {reprise:NAME}:b, a hash, and {reprise:NAME}:w, a sorted set of the members that asked lately,
// both in one slot of a cluster, whatever bytes NAME has. They expire after 24 hours without a
// request. The script needs the commands TIME, HMGET, HSET, ZADD, ZREMRANGEBYSCORE, ZCARD, ZRANGE,
// ZINCRBY and PEXPIRE.
//
// The command in the folder fleet measures all this with real processes and a real server:
//
//	go run ./ratelimit/redislimit/fleet
package redislimit
