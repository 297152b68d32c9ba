package ratelimit_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

func ExampleNewPacer() {
	errBlocked := errors.New("asks for a human")
	pacer := ratelimit.NewPacer(
		ratelimit.MaxRate(50), // be polite to a server without a limit
		ratelimit.Refused(func(err error) bool { return errors.Is(err, errBlocked) }),
	)
	fmt.Println(pacer)

	err := retry.Run(context.Background(), pacer, func(context.Context) error { return nil })
	fmt.Println(err, pacer.State().Mode)
	// Output:
	// pacer(start without a rate, 0 of 3 in flight)
	// <nil> start
}
