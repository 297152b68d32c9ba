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
//   - The fleet opens when max(2, ceil(Q·m)) of the m members that have called within max(OpenFor,
//     10 s) have votes that live; a vote lives for one OpenFor. Q is breaker.Quorum, 0.5. So one
//     bad node opens nobody else.
//   - All members that are in use know within 250 ms ± 20 % (breaker.Every) and a round trip. Until
//     then each sends the callee what its own breaker admits.
//   - One probe per open time, for the whole fleet. A member that is killed with the probe in its
//     hand delays the next one by ProbeLimit.
//   - No call waits for Redis, except the one that is to be the probe, which waits 1 s at most. A
//     process asks with one pipeline per 250 ms for all its breakers that are in use, and at each
//     change of one.
//   - While Redis is away (down, slow, full, a read-only replica, a wrong password) each member's
//     own breaker goes on alone; it comes back to the fleet by itself. An isolation or a release by
//     hand is repeated to the store for ten minutes.
//   - An empty Redis (FLUSHALL) changes nothing for the running members: an isolation is told
//     again, and an opening goes on, in each member for itself.
//
// # What is not
//
//   - Redis replicates asynchronously. A failover may lose the last writes: votes are told again
//     within 250 ms, and an era that is behind what a member has seen is repaired by it, to closed.
//     For a moment two members may send a probe.
//   - The members' clocks are not compared, but the server's own may be set: forward ends an
//     opening early, back drops the votes, which are told again.
//
// # Keys
//
// {reprise:NAME}:s (state), :v (votes), :m (members), :p (probe), which live for 24 hours after the
// last question; all of a name are in one slot of a cluster. Each question is one script, by
// EVALSHA.
package redisbreaker
