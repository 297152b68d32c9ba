// Package pacing is what a pacer knows and decides, without a clock, a lock or
// a goroutine: a state machine that is asked when the next request may go and
// told what came of each.
//
// # What it does
//
// It starts by concurrency, not by rate: a few requests in flight, more with
// every batch of answers. An open server is soon used fully; a limit is met
// with a few refusals. That is [Start].
//
// A refusal is answered once per burst (what was sent before it is not news):
// a park of half a second, or as long as the server says, then a single
// request; while that is refused the park doubles; one that hangs is given up,
// and the next goes in its place. When it is admitted, what
// was accepted in the whole cycle is the server's rate, and the machine goes
// on at it: it measures instead of guessing.
//
// From there it searches upward ([Climb]): a rate held longer than a bucket
// could have lent is survived, and the next step is larger. Refused again, it
// measures again, and keeps the rate ([Cruise]), with a probe from time to
// time, rarer each time, at most every few minutes.
//
// Beside that: refusals that come with a number in flight lower that number,
// not the rate; one request alone then tells which of the two it was. Resets
// and bare 503 are taken for refusals only where the server refuses the next
// requests as well; if they come as often at half the rate they were noise
// after all. Probes spend an allowance of refusals, saved up over time.
// Where a refusal costs minutes, the machine probes seldom; once too much time
// was lost, not at all. A refusal in the middle of a cruise lowers the rate
// only a little, and who lost much of what was measured once asks for more of
// it, and more often: so the shares of several clients of one limit come nearer
// to each other. A rate that the server states holds.
//
// # How it is written
//
// pacing.go is the machine, pushback.go its answer to a refusal, search.go how
// it goes up and settles, flight.go what it knows of requests in flight,
// doubt.go how it tells noise from refusals by the next answers, noise.go in
// the long run, constants.go every number with its reason. Times are seconds,
// as float64, from any origin.
package pacing
