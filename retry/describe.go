package retry

import (
	"fmt"
	"strings"
)

// Describe returns one line about p for people, with the members of a chain in their order, such as
// (on one line)
//
//	exponential(4 attempts, 100ms x2, up to 30s, ±50 %)
//	  -> limiter catalog(10/s, burst 5) -> breaker catalog(closed)
//
// A policy describes itself by a method String, which must be safe while calls run.
func Describe(p Policy) string { return describe(p, nil) }

func describe(p Policy, around *layers) string {
	if around.holds(p) {
		return "itself"
	}
	around = &layers{p, around}
	switch p := p.(type) {
	case nil:
		return "no policy"
	case *chain:
		return p.describe(around)
	case fmt.Stringer:
		return p.String()
	}
	name := fmt.Sprintf("%T", p)
	name = name[strings.LastIndexByte(name, '.')+1:]
	if inside := unwrap(p); inside != nil {
		return name + "(" + describe(inside, around) + ")"
	}
	return name
}

// label is the kind and name of p: the part of Describe before the details.
func label(p Policy) string {
	text := Describe(p)
	if i := strings.IndexByte(text, '('); i > 0 {
		text = text[:i]
	}
	return strings.TrimSpace(text)
}
