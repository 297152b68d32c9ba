package retry

import "context"

// PageKey is the key under which a client's own context names the page that a call asks for:
// Value(PageKey{}) is a uint64, or a value with a method Page() uint64. It saves the context that
// [WithPage] would make; httpx does so with a hash of method and URL.
type PageKey struct{}

// WithPage returns a context that says which page, or other object, a call asks for: a hash of its
// name, not 0. A pacer (package ratelimit) that hears of it can tell a page that is always refused
// from a server that refuses because of the rate. A retry of the same page has the same key.
func WithPage(ctx context.Context, key uint64) context.Context {
	return context.WithValue(ctx, PageKey{}, key)
}

// PageOf returns the page that ctx names; 0: none.
func PageOf(ctx context.Context) uint64 {
	switch p := ctx.Value(PageKey{}).(type) {
	case uint64:
		return p
	case interface{ Page() uint64 }:
		return p.Page()
	}
	return 0
}
