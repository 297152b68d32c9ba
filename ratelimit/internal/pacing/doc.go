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
// Beside that: refusals that come with a number in flight lower that number, not the rate; one
// request alone then tells which of the two it was. Resets and bare 503 are taken for refusals only
// where the server refuses the next requests as well; if they come as often at half the rate they
// were noise after all. Probes spend an allowance of refusals, saved up over time. If a refusal
// costs minutes the machine probes seldom, and not at all once too much time was lost. A refusal in
// the middle of a cruise lowers the rate only a little, so that of several clients of one limit
// none loses its share by it.
//
// It hears more than refusals. What a server says of its quota is a gauge: what
// remains may be sent at once, and how it moves tells what comes in. Silence is a
// doubt. What is refused for its own sake, one page while others come, is not news
// of the rate, and what it did to the rate is taken back. A careful machine sends
// only what stays within a budget of refusals should it be refused.
//
// # How it is written
//
// A [Machine] is made of parts that each own one thing, its rules and its
// constants, in a file of its own:
//
//	pacing     what is asked and told, and how the parts work together
//	tally      what was sent and answered
//	search     the rate, the steps up, how it settles
//	probing    when to look for more, and what refusals that may cost
//	pushback   the park after a refusal, the single request, what a cycle measured
//	flight     how many requests are on their way
//	doubt      tells noise from refusals by the next answers,
//	noise      and in the long run
//	overdue    silence
//	pages      what is a page's own
//	untold     403s that nobody has told of
//	gauge      what the server says of its quota
//	careful    the budget of refusals
//	explain    all that in words
//	saved      what is worth keeping across a restart
//	team       one machine for several processes that share a limit
//
// Times are seconds, as float64, from any origin.
package pacing
