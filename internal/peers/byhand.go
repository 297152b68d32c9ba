package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"
	"golang.org/x/time/rate"
)

// byHand is what a careful user writes with the standard library, gobreaker and x/time. The others
// are measured by it.
var byHand = library{
	name: "by hand",
	loop: func(p plan) run {
		return func(ctx context.Context, f call) (v int, err error) {
			for i := range p.attempts {
				if err = ctx.Err(); err != nil {
					return v, err
				}
				if v, err = f(ctx); err == nil || i == p.attempts-1 {
					break
				}
				if wait := min(p.first<<i, p.most); wait > 0 {
					timer := time.NewTimer(wait)
					select {
					case <-timer.C:
					case <-ctx.Done():
						timer.Stop()
					}
				}
			}
			return v, err
		}
	},
	breaker: func(failures int, open time.Duration) run {
		b := gobreaker.NewTwoStepCircuitBreaker[int](sonySettings(failures, open))
		return func(ctx context.Context, f call) (int, error) {
			done, err := b.Allow()
			if err != nil {
				return 0, err
			}
			v, err := f(ctx)
			done(err)
			return v, err
		}
	},
	inLoop: func(failures int, open time.Duration) run {
		b := gobreaker.NewTwoStepCircuitBreaker[int](sonySettings(failures, open))
		return func(ctx context.Context, f call) (v int, err error) {
			for range 3 {
				done, rejected := b.Allow()
				if rejected != nil {
					return v, rejected
				}
				v, err = f(ctx)
				done(err)
				if err == nil {
					break
				}
			}
			return v, err
		}
	},
	limiter: func(interval time.Duration, burst int) run {
		l := rate.NewLimiter(rate.Every(interval), burst)
		return func(ctx context.Context, f call) (int, error) {
			if !l.Allow() {
				if err := l.Wait(ctx); err != nil {
					return 0, err
				}
			}
			return f(ctx)
		}
	},
	chain: func(interval time.Duration, burst, failures int, open time.Duration) run {
		l := rate.NewLimiter(rate.Every(interval), burst)
		b := gobreaker.NewTwoStepCircuitBreaker[int](sonySettings(failures, open))
		return func(ctx context.Context, f call) (v int, err error) {
			for range 3 {
				if !l.Allow() {
					if err = l.Wait(ctx); err != nil {
						return v, err
					}
				}
				done, rejected := b.Allow()
				if rejected != nil {
					return v, rejected
				}
				v, err = f(ctx)
				done(err)
				if err == nil {
					break
				}
			}
			return v, err
		}
	},
	client: func(base http.RoundTripper, _ time.Duration) send {
		c := &http.Client{Transport: base}
		return requesting(func(req *http.Request) (resp *http.Response, err error) {
			for i := range 3 {
				if resp, err = c.Do(req); err == nil && resp.StatusCode < 500 || i == 2 {
					break
				}
				if err == nil {
					_, _ = io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
			return resp, err
		})
	},
	keyed: func(keys []string) func(string) error {
		var m sync.Map
		for _, k := range keys {
			m.Store(k, &guardOfKey{})
		}
		return func(key string) error {
			g, ok := m.Load(key)
			if !ok {
				return fmt.Errorf("no %s", key)
			}
			return g.(*guardOfKey).call()
		}
	},
}

// guardOfKey stands for a key's policy: it only calls.
type guardOfKey struct{ _ int }

func (*guardOfKey) call() error { return nil }

// mapAndMutex is another way to keep a guard for each key.
var mapAndMutex = library{
	name: "by hand, a map and a mutex",
	keyed: func(keys []string) func(string) error {
		var mu sync.Mutex
		m := map[string]*guardOfKey{}
		for _, k := range keys {
			m[k] = &guardOfKey{}
		}
		return func(key string) error {
			mu.Lock()
			g := m[key]
			mu.Unlock()
			return g.call()
		}
	},
}
