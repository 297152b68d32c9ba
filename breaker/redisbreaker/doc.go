// Package redisbreaker keeps the breakers of a fleet of processes on Redis (5 or later) or Valkey:
// see breaker.Shared.
//
//	store := redisbreaker.New(redis.NewClient(&redis.Options{
//		Addr: "localhost:6379", MaxRetries: -1, ContextTimeoutEnabled: true,
//	}))
//	guard := breaker.New("catalog", breaker.Shared(store))
//
// # What is promised
//
//   - The fleet opens when max(2, ceil(Q·m)) members have valid votes. m is the number of members
//     that have made calls within max(OpenFor, 10 s), Q is breaker.Quorum (0.5), and a vote is
//     valid for one OpenFor. So one bad node opens no other breaker.
//   - All members that are in use know within 250 ms ± 20 % (breaker.Every) and a round trip. Until
//     then each sends the callee what its own breaker admits.
//   - There is one probe per open time, for the whole fleet. If a member is killed during the probe
//     the next one comes ProbeLimit later.
//   - No call waits for Redis, except the one that is to be the probe, which waits 1 s at most. A
//     process sends one pipeline per 250 ms for all its breakers that are in use, and one at each
//     change of a breaker.
//   - While Redis is away (down, slow, full, a read-only replica, a wrong password) each member's
//     own breaker goes on alone, and joins the fleet again by itself. An isolation or a release by
//     hand is repeated to the store for ten minutes.
//   - An empty Redis (FLUSHALL) changes nothing for the running members: they report an isolation
//     again, and each member's opening goes on.
//
// # What is not
//
//   - Redis replicates asynchronously, so a failover may lose the last writes. Votes are sent again
//     within 250 ms. If the era is older than one that a member has seen, the member starts a new
//     one, closed. For a moment two members may send a probe.
//   - The members' clocks do not matter, but the server's clock does: if it is set forward an
//     opening ends early, if it is set back the votes are dropped and sent again.
//
// # Keys
//
// {reprise:NAME}:s (state), :v (votes), :m (members) and :p (probe), all in one slot of a cluster.
// They expire 24 hours after the last request. Each request is one script, run with EVALSHA.
package redisbreaker
