// Package field parses the header fields in which servers send times, quotas and ranges. A field
// that cannot be read counts as absent and is never an error.
package field
