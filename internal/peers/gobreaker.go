package main

import (
	"context"
	"time"

	"github.com/sony/gobreaker/v2"
)

var sony = library{
	name: "gobreaker v2.4.0",
	breaker: func(failures int, open time.Duration) run {
		b := gobreaker.NewCircuitBreaker[int](sonySettings(failures, open))
		return func(ctx context.Context, f call) (int, error) {
			return b.Execute(func() (int, error) { return f(ctx) })
		}
	},
}

func sonySettings(failures int, open time.Duration) gobreaker.Settings {
	return gobreaker.Settings{Timeout: open, ReadyToTrip: func(c gobreaker.Counts) bool {
		return int(c.ConsecutiveFailures) >= failures
	}}
}
