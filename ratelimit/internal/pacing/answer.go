package pacing

// A Kind is what an answer means for the rate, as the policy around the
// machine sees it.
type Kind int

// The kinds.
const (
	Fine    Kind = iota // admitted: a page, also a 404
	Trouble             // admitted, but failed: says nothing about the rate
	Doubt               // a bare 503, reset or cut body: a refusal on some servers, noise on others
	Refusal             // a 429, or whatever the user calls a refusal
	Untold              // a 403, if no option says whether it is a refusal
)

// An Answer is what came of a request.
type Answer struct {
	Kind       Kind
	RetryAfter float64 // s; negative: not said
	Remaining  int     // negative: not said
	Reset      float64 // s until there are more; 0: not said
	Limit      int     // per Window; 0: not said
	Window     float64 // s; 0: not said
	Page       uint64  // what was asked for; 0: not said
}
