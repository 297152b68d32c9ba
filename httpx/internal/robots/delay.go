package robots

import (
	"context"
	"time"

	"github.com/reprise-go/reprise/retry"
)

const delayPolicy = "crawl-delay"

// Turn waits until the site's Crawl-delay has passed since the last attempt. It returns the
// Crawl-delay as a quota of which nothing is left until the next turn; a zero quota if there is
// none. Waiters queue at the channel, and leave the queue when they give up.
func (c *Cache) Turn(ctx context.Context, s *Site) (retry.Quota, error) {
	c.mu.Lock()
	delay := s.file.delay()
	if delay == 0 {
		c.mu.Unlock()
		return retry.Quota{}, nil
	}
	began := time.Now()
	wait := max(0, s.sent.Add(delay).Sub(began)) + time.Duration(s.line)*delay
	if wait > 0 && !retry.Fits(ctx, wait) {
		c.mu.Unlock()
		err := &retry.Rejection{Policy: delayPolicy, Reason: errNoTurn, RetryAfter: wait}
		retry.Emit(ctx,
			retry.Event{Kind: retry.KindReject, Policy: err.Policy, Wait: wait, Err: err})
		return retry.Quota{}, err
	}
	s.line++
	c.mu.Unlock()

	err := c.stand(ctx, s, delay)
	if took := time.Since(began); wait > 0 {
		retry.Emit(ctx,
			retry.Event{Kind: retry.KindWait, Policy: delayPolicy, Wait: wait, Took: took,
				Err: err})
	}
	if err != nil {
		return retry.Quota{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	// the next turn comes after those in line
	return retry.Quota{Limit: 1, Window: delay, Reset: delay * time.Duration(1+s.line)}, nil
}

var errNoTurn = &noTurnError{}

// noTurnError is the reason of a rejection by a Crawl-delay.
type noTurnError struct{}

func (*noTurnError) Error() string {
	return "the wait for the next turn does not fit the deadline"
}
func (*noTurnError) Is(target error) bool { return target == context.DeadlineExceeded }

func (c *Cache) stand(ctx context.Context, s *Site, delay time.Duration) error {
	defer func() {
		c.mu.Lock()
		s.line--
		c.mu.Unlock()
	}()
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return retry.Ended(ctx)
	}
	defer func() { <-s.turn }()
	c.mu.Lock()
	due := s.sent.Add(delay)
	c.mu.Unlock()
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return retry.Ended(ctx)
	}
	c.mu.Lock()
	s.sent = time.Now()
	c.mu.Unlock()
	return nil
}
