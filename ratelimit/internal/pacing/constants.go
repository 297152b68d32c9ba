package pacing

// The constants, each with the reason for its value. They were chosen on
// seeds of the simulation that the printed figures do not use; what one of them
// is worth is seen by changing it and running go run ./ratelimit/internal/pacing/figures.
const (
	// Requests in flight.
	firstSlots  = 3    // once something was refused: three more refusals do not earn a jail
	quietSlots  = 22   // answers before the next slot then
	quickSlots  = 2    // answers per slot from there to browserSlot: an open server is soon used fully
	browserSlot = 8    // about what a browser opens to a host
	patience    = 600  // answers before there are more: most windows that sites count in are over by then
	laterSlots  = 8    // beyond, answers per slot and slot there is: the overrun of a window grows with the root of its size
	dearer      = 4    // answers per slot grow by this when a slot was refused, or brought a queue and no answers
	gain        = 1.25 // a doubled number in flight that brings less than this is a queue

	// The park.
	firstPark = .5  // s; a longer one overfills small buckets, and the rate measured is too low
	burstPark = 1.5 // s; the first park after a burst of maxRefused refusals: a second one so soon could be the one that earns a ban
	maxPark   = 300 // s
	hasty     = 5   // after so many refusals within hastyIn the single request waits until they are that old: jails count in tens of seconds
	hastyIn   = 10. // s
	hintSlack = 1.02
	stalled   = 30. // s; a request that the others wait for is given up after so long, or after the park if that is longer: stalls of 5 s are common

	// The search.
	firstHold     = 1.   // s; shortest time between two steps up
	probeHold     = 5.   // s; the same while probing from a cruise: a step must outlast the bucket
	maxHold       = 60.  // s; longest hold taken from a park
	holdN         = 8    // answers that a hold takes at least
	busy          = .5   // share of the rate that must have been used for a hold to prove it
	margin        = .997 // cruise at this share of a measured rate: 1 costs a ban where a window bans, .97 loses a point everywhere
	firstStep     = .25  // the first step up after the start
	probeStep     = .05  // the first step of a probe; each hold survived doubles the step, to 1
	dearStep      = .5   // the first step where refusals are dear
	closeTo       = 1.1  // a ceiling nearer than this is reached
	slowest       = .02  // requests a second
	unknownBucket = 20.  // what a bucket may have lent to one who has not seen it empty
	soon          = .1   // s; no reset is nearer
	scatter       = .006 // the distance between two requests is drawn from 1/rate to this much more: several crawlers must not fall into step

	// The probe.
	firstProbe = 8.   // s from the start's last push-back to the first probe: mends a rate measured too low
	probeGrows = 3.   // each interval is so many times the one before
	lastProbe  = 240. // s; the longest interval: a limit that was raised is noticed within five minutes, if no refusals must be saved up first
	maxRefused = 4    // no probe while so many refusals lie within refusedIn: the fifth in a minute earns a jail
	refusedIn  = 60.  // s
	jailKeeps  = .96  // of the measured rate, when the next refusal would be that fifth,
	jailToken  = .5   // less what a count can be off
	trust      = 4    // accepted answers that make a release real,
	falseFor   = 2.   // s; or so long without a refusal, and as long as the park was: a slow one of several clients has few answers

	// What probes may cost: without a bound it would grow with the number in flight.
	freeProbes   = 3    // the first ones, as a window's first rate is often a tenth too low,
	freeSpent    = 14.  // unless so many refusals were spent before
	freeRefusals = 3.   // refusals, and one more
	refusalEvery = 300. // s

	// Several clients of one limit.
	bestKeeps   = .9 // of the highest rate measured, with every release
	mostPoverty = 4.

	// A refusal in a cruise.
	hitKeeps   = .93 // of the rate, after each of the first in a row
	maxHits    = 2
	hitsWithin = 10. // s; a row
	changed    = .75 // a rate below this share of the one before is another limit

	// Penalties.
	dearPenalty = 20. // s lost to one push-back that make refusals dear
	dearHold    = 60. // s; shortest hold then
	dearProbe   = 20. // a probe then, in penalties
	longHold    = 20. // s; a longer hold, and a longer interval of probes than lastProbe, is halved by each push-back that costs less
	budget      = 90. // s; no probe and no step up once more time than this was lost,
	budgetShare = .05 // beyond this share of the time elapsed

	// Doubt.
	convictAt    = 2.  // suspicion that makes a doubtful answer a refusal: each adds 1,
	acquitBy     = .5  // each other answer takes this away
	askAfter     = 1.5 // a request is sent alone after so many times what the doubtful answer took: the others are answered by then
	acquittals   = 3   // times the suspicion passed that prove the doubts to be noise
	strikesOut   = 5   // refusals in a row while cruising that make the rate half: the next will tell noise from a limit
	strikeWithin = 150 // answers between two of a row
	halved       = .6  // of the rate at the first of a row is about half of it

	noiseRun     = 3    // doubtful answers in a row that refute noise, or
	byChance     = 1e-8 // as many as noise as usual brings so seldom,
	tooMuchNoise = .35  // or such a share of them
	shareOf      = 40.  // answers that a share is taken over
	leastNoise   = .02
	mostNoise    = .2
)
