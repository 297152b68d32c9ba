package policies

import "slices"

// Status matches errors with one of these statuses: what a method StatusCode() int or
// HTTPStatusCode() int of the error, or of one in its tree, returns. Of several in a tree any may
// match. The codes need not be HTTP's. Errors without either method, as those of gRPC, have no
// status: [StatusOf] says how to read it. Without that the text of such an error ends in "(no
// status found: see StatusOf)".
func Status(codes ...int) Matcher {
	codes = slices.Clone(codes)
	m := ofStatus(func(s int) bool { return slices.Contains(codes, s) })
	m.mistakes.check(len(codes) > 0, "Status(): must name a status")
	for _, code := range codes {
		m.mistakes.check(code >= 0, "Status(%d): must not be negative", code)
	}
	return m
}

// ServerErrors matches errors with a status of 500 to 599: see [Status].
var ServerErrors = ofStatus(func(s int) bool { return s/100 == 5 })

func ofStatus(is func(int) bool) Matcher {
	return Matcher{ofStatus: true, reads: true, match: func(f failure) bool {
		return slices.ContainsFunc(f.statuses, is)
	}}
}

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
	m.mistakes.check(len(codes) > 0, "SQLState(): must name a state")
	for _, code := range codes {
		const must = "must be five characters, or two for a class"
		m.mistakes.check(len(code) == 5 || len(code) == 2, "SQLState(%q): %s", code, must)
	}
	return m
}
