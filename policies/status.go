package policies

import (
	"fmt"
	"slices"
)

// Status matches errors with one of these statuses: what a method StatusCode() int or
// HTTPStatusCode() int of the error, or of one in its tree, returns. Of several in a tree any may
// match. The codes need not be HTTP's. Errors without either method, as those of gRPC, have no
// status: [StatusOf] says how to read it. Without that the text of such an error ends in "(no
// status found: see StatusOf)".
func Status(codes ...int) Matcher {
	codes = slices.Clone(codes)
	listed := func(s int) bool { return slices.Contains(codes, s) }
	m := Matcher{ofStatus: true, reads: true, match: func(f failure) bool {
		return slices.ContainsFunc(f.statuses, listed)
	}}
	if len(codes) == 0 {
		m.mistake = "Status(): must name a status"
	}
	for _, code := range codes {
		if code < 0 {
			m.mistake = fmt.Sprintf("Status(%d): must not be negative", code)
		}
	}
	return m
}

// ServerErrors matches errors with a status of 500 to 599: see [Status].
var ServerErrors = Matcher{ofStatus: true, reads: true, match: func(f failure) bool {
	return slices.ContainsFunc(f.statuses, func(s int) bool { return s/100 == 5 })
}}

// SQLState matches errors with one of these SQL states: what a method SQLState() string of the
// error, or of one in its tree, returns. The errors of pgx and lib/pq have it. A code of two
// characters is a class: SQLState("40") is every transaction rollback.
func SQLState(codes ...string) Matcher {
	codes = slices.Clone(codes)
	listed := func(state string) bool {
		return slices.Contains(codes, state) || len(state) == 5 && slices.Contains(codes, state[:2])
	}
	m := Matcher{reads: true, match: func(f failure) bool {
		return slices.ContainsFunc(f.states, listed)
	}}
	if len(codes) == 0 {
		m.mistake = "SQLState(): must name a state"
	}
	for _, code := range codes {
		if len(code) != 5 && len(code) != 2 {
			const must = "must be five characters, or two for a class"
			m.mistake = fmt.Sprintf("SQLState(%q): %s", code, must)
		}
	}
	return m
}
