package ratelimit_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// captchaPage is a page with status 200 that a predicate has turned down.
type captchaPage struct{ error }

func (captchaPage) StatusCode() int { return 200 }

func TestACaptchaThatComesAsAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, opts := range map[string][]ratelimit.Option{"careless": nil,
			"careful": {ratelimit.Careful()}} {
			p := ratelimit.NewPacer(opts...)
			ask := func(page uint64, refused bool) {
				_ = retry.Run(retry.WithPage(t.Context(), page), p, func(context.Context) error {
					time.Sleep(20 * time.Millisecond)
					if refused {
						return retry.After(captchaPage{errors.New("captcha")}, 0)
					}
					return nil
				})
			}
			for i := range uint64(300) {
				ask(i+1, i%10 == 9)
				ask(i+1, i%30 == 29) // asked again
			}
			if s := p.State(); s.Parked || s.Mode != "start" {
				t.Errorf("%s: some pages' own captchas slow the others: %v", name, p)
			}
			for i := range uint64(3) {
				ask(1000+i, true)
			}
			if s := p.State(); !s.Parked {
				t.Errorf("%s: a captcha for every page is not heard: %v", name, p)
			}
		}
	})
}
