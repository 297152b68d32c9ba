package policies

import (
	"fmt"
	"slices"
	"strings"
)

// Status matches errors with one of these statuses: what a method StatusCode() int or
// HTTPStatusCode() int says of the error or of one in its tree. Of several in a tree any may match.
// Codes that are not HTTP's will do; but the errors of gRPC, and of others, have neither method, so
// no status: [StatusOf] says how to read it. Without that the text of such an error ends in
// "(no status found: see StatusOf)".
func Status(codes ...int) Matcher {
	codes = slices.Clone(codes)
	m := Matcher{ofStatus: true, reads: true, match: func(f failure) bool {
		return slices.ContainsFunc(f.statuses, func(s int) bool { return slices.Contains(codes, s) })
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

// SQLState matches errors with one of these SQL states: what a method SQLState() string says of the
// error or of one in its tree, as those of pgx and lib/pq have it. A code of two characters is a
// class: SQLState("40") is every transaction rollback.
func SQLState(codes ...string) Matcher {
	codes = slices.Clone(codes)
	m := Matcher{reads: true, match: func(f failure) bool {
		return slices.ContainsFunc(f.states, func(state string) bool {
			return slices.ContainsFunc(codes, func(code string) bool {
				return state == code || len(code) == 2 && len(state) == 5 && strings.HasPrefix(state, code)
			})
		})
	}}
	if len(codes) == 0 {
		m.mistake = "SQLState(): must name a state"
	}
	for _, code := range codes {
		if len(code) != 5 && len(code) != 2 {
			m.mistake = fmt.Sprintf("SQLState(%q): must be five characters, or two for a class", code)
		}
	}
	return m
}
