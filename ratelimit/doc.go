// Package ratelimit decides when a call may go.
package ratelimit
