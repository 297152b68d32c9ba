// Package redislimit keeps limits for a fleet of processes on Redis (5 or later) or Valkey, with one
// short script per question and no question per call: see ratelimit.Shared.
package redislimit
