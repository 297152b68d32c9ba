// Package field parses the header fields by which servers speak of time, quotas and ranges. What
// cannot be read is absent, never an error.
package field
