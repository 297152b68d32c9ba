// Package pacing is what a pacer knows and decides, without a clock, a lock or a goroutine: a state
// machine that is asked when the next request may go, and told the outcome of each.
//
// # What it does
//
// It starts by concurrency, not by rate: a few requests in flight, more with every batch of
// answers. An open server is soon used fully; a limit is met with a few refusals. That is [Start].
//
// A refusal is answered once per burst, because answers to what was sent before it are not news.
// The machine parks for half a second, or as long as the server says, then sends a single request.
// While that is refused the park doubles; one that hangs is given up, and the next goes in its
// place. When it is admitted, what was accepted in the whole cycle is the server's rate, and the
// machine goes on at it: it measures instead of guessing.
//
// From there it searches upward ([Climb]). A rate that was held for longer than a bucket could have
// lent is survived, and the next step is larger. When it is refused again it measures again and
// keeps the rate ([Cruise]), with a probe from time to time, more and more seldom, down to one
// every few minutes.
//
// Refusals that come with a number in flight lower that number, not the rate; one request alone
// then tells which of the two it was. Resets and bare 503s are taken for refusals only if the
// server refuses the next requests as well; if they come as often at half the rate they were noise
// after all. Probes spend an allowance of refusals, which is saved up over time. If a refusal costs
// minutes the machine probes seldom, and not at all once too much time was lost. A refusal in the
// middle of a cruise lowers the rate only a little, so that no client of a shared limit loses its
// share by it.
//
// It hears more than refusals. What a server says of its quota is a gauge: what remains may be sent
// at once, and how the number moves tells how much comes in. Silence is a doubt. A page that is
// refused while others come is refused for its own sake: that is not news of the rate, and what it
// did to the rate is taken back. A careful machine sends a request only if refusals stay within a
// budget should it be refused.
//
// # How it is written
//
// A [Machine] is made of parts that each own one thing, with its rules and its constants, in its
// own file:
//
//	pacing     what is asked and told, and how the parts work together
//	tally      what was sent and answered
//	search     the rate, the steps up, how it settles
//	probing    when to look for more, and how many refusals that may cost
//	pushback   the park after a refusal, the single request, what a cycle measured
//	flight     how many requests are on their way
//	doubt      tells noise from refusals by the next answers,
//	noise      and in the long run
//	overdue    silence
//	pages      pages that are refused for their own sake
//	untold     403s of which no option says what they mean
//	gauge      what the server says of its quota
//	careful    the budget of refusals
//	explain    all that in words
//	saved      what is worth keeping across a restart
//	team       one machine for several processes that share a limit
//
// Times are seconds, as float64, from any origin.
package pacing
