package retry

// Stat is one figure of a stateful policy, for debug pages and gauges. Every stateful policy of
// this module has a method Stats() []Stat, which may be called while calls run.
type Stat struct {
	Name  string  // lower case, words joined by "_": "rate", "waiting", "state"
	Value float64 // in Unit
	Unit  string  // "1/s", "s", "1"; empty: a plain number
	Text  string  // what Value stands for, if it stands for a word: "half-open"
}
