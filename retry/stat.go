package retry

// Stat is one figure of a stateful policy, for debug pages and gauges. Every stateful policy of
// this module has a method Stats() []Stat, which may be called while calls run.
type Stat struct {
	// lower case, words joined by "_": "rate", "waiting", "state"
	Name  string  `json:"name"`
	Value float64 `json:"value"`          // in Unit
	Unit  string  `json:"unit,omitempty"` // "1/s", "s", "1"; empty: a plain number
	// what Value stands for, if it stands for a word: "half-open"
	Text string `json:"text,omitempty"`
}
