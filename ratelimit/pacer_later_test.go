package ratelimit

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/retry"
)

// lineOfPages is a pacer at which page 1 has just been refused, while a line waits. One call goes
// each second.
type lineOfPages struct {
	t     *testing.T
	pacer *Pacer
	wg    sync.WaitGroup
	mu    sync.Mutex
	went  []uint64
}

func newLineOfPages(t *testing.T, opts ...Option) *lineOfPages {
	l := &lineOfPages{t: t, pacer: steady(append(opts, MaxRate(1))...)}
	for range 10 {
		run(t.Context(), l.pacer, 0, nil)
	}
	refused := func(context.Context) error { return retry.After(errPage, 0) }
	retry.Run(retry.WithPage(t.Context(), 1), l.pacer, refused)
	return l
}

// join puts a call for a page in line; its context may end.
func (l *lineOfPages) join(ctx context.Context, page uint64) {
	l.wg.Go(func() {
		err := retry.Run(retry.WithPage(ctx, page), l.pacer, func(context.Context) error {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.went = append(l.went, page)
			return nil
		})
		if err != nil && ctx.Err() == nil {
			l.t.Errorf("page %d: %v", page, err)
		}
	})
	synctest.Wait()
}

// others puts pages from first on in line, so many.
func (l *lineOfPages) others(ctx context.Context, first uint64, n int) {
	for i := range uint64(n) {
		l.join(ctx, first+i)
	}
}

// place is when page 1 went, from 0 on; -1: not at all.
func (l *lineOfPages) place() int {
	l.wg.Wait()
	return slices.Index(l.went, 1)
}

func TestARefusedPageGoesAfterOthers(t *testing.T) {
	for _, c := range []struct {
		name  string
		come  func(l *lineOfPages, ctx context.Context)
		place int
	}{
		{"it waits alone", func(l *lineOfPages, ctx context.Context) {
			l.join(ctx, 1)
		}, 0},
		{"before five others", func(l *lineOfPages, ctx context.Context) {
			l.join(ctx, 1)
			l.others(ctx, 10, 5)
		}, 5},
		{"before twenty others", func(l *lineOfPages, ctx context.Context) {
			l.join(ctx, 1)
			l.others(ctx, 10, 20)
		}, 12},
		{"behind fifteen others", func(l *lineOfPages, ctx context.Context) {
			l.others(ctx, 10, 15)
			l.join(ctx, 1)
			l.others(ctx, 30, 5)
		}, 15},
		{"before calls that name no page", func(l *lineOfPages, ctx context.Context) {
			l.join(ctx, 1)
			for range 14 {
				l.join(ctx, 0)
			}
		}, 12},
		{"the others are less urgent", func(l *lineOfPages, ctx context.Context) {
			l.join(retry.WithPriority(ctx, 1), 1)
			l.others(ctx, 10, 5)
		}, 0},
		{"some are as urgent", func(l *lineOfPages, ctx context.Context) {
			high := retry.WithPriority(ctx, 1)
			l.others(ctx, 10, 5)
			l.join(high, 1)
			l.others(high, 30, 3)
		}, 3},
		{"it has no time for more than three", func(l *lineOfPages, ctx context.Context) {
			short, cancel := context.WithTimeout(ctx, 4500*time.Millisecond)
			l.t.Cleanup(cancel)
			l.join(short, 1)
			l.others(ctx, 10, 20)
		}, 3},
		{"the same, in a line of several priorities", func(l *lineOfPages, ctx context.Context) {
			short, cancel := context.WithTimeout(ctx, 6500*time.Millisecond)
			l.t.Cleanup(cancel)
			l.join(short, 1)
			l.others(ctx, 10, 10)
			l.others(retry.WithPriority(ctx, 1), 30, 2)
		}, 5},
		{"of many calls for it sixty-four are passed at most",
			func(l *lineOfPages, ctx context.Context) {
				for range 64 {
					l.join(ctx, 1)
				}
				l.others(ctx, 10, 1)
			}, 0},
		{"one less", func(l *lineOfPages, ctx context.Context) {
			for range 63 {
				l.join(ctx, 1)
			}
			l.others(ctx, 10, 1)
		}, 1},
		{"all others leave", func(l *lineOfPages, ctx context.Context) {
			short, cancel := context.WithCancel(ctx)
			l.join(ctx, 1)
			l.others(short, 10, 20)
			time.Sleep(2500 * time.Millisecond)
			cancel()
		}, 2},
		{"it leaves", func(l *lineOfPages, ctx context.Context) {
			short, cancel := context.WithCancel(ctx)
			l.join(short, 1)
			l.others(ctx, 10, 5)
			time.Sleep(1500 * time.Millisecond)
			cancel()
		}, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLineOfPages(t)
				c.come(l, t.Context())
				if got := l.place(); got != c.place {
					t.Errorf("it went as number %d, want %d: %v", got, c.place, l.went)
				}
				if s := l.pacer.State(); s.Waiting != 0 || s.InFlight != 0 {
					t.Errorf("left behind: %v", l.pacer)
				}
			})
		})
	}
}

// A call may be overtaken as far as MaxWait allows, though others keep coming.
func TestARefusedPageIsNotOvertakenBeyondMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLineOfPages(t, MaxWait(4500*time.Millisecond))
		l.join(t.Context(), 1)
		time.Sleep(100 * time.Millisecond)
		l.others(t.Context(), 10, 3)
		for i := range uint64(5) {
			time.Sleep(time.Second)
			l.join(t.Context(), 20+i)
		}
		if got := l.place(); got != 3 {
			t.Errorf("it went as number %d, want 3: %v", got, l.went)
		}
	})
}

// If all that wait were refused they go in order.
func TestRefusedPagesGoInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := steady(MaxRate(1))
		var pages []uint64
		for i := range uint64(5) {
			pages = append(pages, i+1)
			retry.Run(retry.WithPage(t.Context(), i+1), p, func(context.Context) error {
				return retry.After(errPage, 0)
			})
		}
		l := &lineOfPages{t: t, pacer: p}
		l.others(t.Context(), 1, 5)
		if l.wg.Wait(); !slices.Equal(l.went, pages) {
			t.Errorf("went as %v, want %v", l.went, pages)
		}
	})
}
