package reprise_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/retry"
)

// The functions below hold the README's Go blocks to the letter, so that they compile; TestReadme compares.

type User struct{ Name string }

type database struct{}

func (database) User(context.Context, int) (User, error) { return User{"Ada"}, nil }

var store database

func readmeFirst(ctx context.Context) (User, error) {
	guard := retry.Chain( // first is outermost; made once, shared by all goroutines and result types
		policies.Exponential(policies.Attempts(4)),
		ratelimit.New(10, 5),
		breaker.New("catalog"),
	)
	user, err := retry.Do(ctx, guard, func(ctx context.Context) (User, error) {
		return store.User(ctx, 7)
	})
	return user, err
}

func readmeGet(ctx context.Context) error {
	resp, err := httpx.Get(ctx, "https://example.com/") // 3 attempts, exponential backoff, Retry-After honoured
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func readmeClient(ctx context.Context, urls []string) {
	client := httpx.New(
		httpx.WithPolicy(retry.Chain(
			policies.Exponential(policies.Attempts(5), policies.Initial(200*time.Millisecond)),
			policies.Keyed(httpx.Host, func(host string) retry.Policy {
				return retry.Chain(ratelimit.NewPacer(ratelimit.MaxRate(20)), breaker.New(host))
			}),
			policies.Timeout(30*time.Second), // for each attempt
		)),
		httpx.RetryOn(httpx.Status(404)), // besides what is transient: 408, 429, server errors on idempotent methods, ...
		httpx.Polite("examplebot/1.0"),
		httpx.WithLogger(slog.Default()),
	)
	for page := range httpx.FetchAll(ctx, client, slices.Values(urls), httpx.Text, httpx.Workers(32)) {
		fmt.Println(page.URL, len(page.Value), page.Err)
	}
}

func readmeCustom() retry.Policy {
	timed := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		start := time.Now()
		err := next.Do(ctx)
		log.Printf("took %v: %v", time.Since(start), err)
		return err
	})
	return timed
}

func readmeErrors(user User, err error) {
	var gaveUp *retry.Error
	switch {
	case err == nil:
		fmt.Println("have", user)
	case errors.As(err, &gaveUp) && gaveUp.Attempts > 0:
		fmt.Printf("%d attempts in %v, the last: %v\n", gaveUp.Attempts, gaveUp.Elapsed, gaveUp.Last)
	case errors.Is(err, retry.ErrRejected): // by an open breaker, a limiter, a full bulkhead, an empty budget
		fmt.Println("not even tried:", err)
	default: // a final answer on the first attempt comes back as it was
		fmt.Println(err)
	}
}

func readmeRecord(ctx context.Context, guard retry.Policy, call func(context.Context) (User, error)) error {
	var rec retry.Record
	_, err := retry.Do(ctx, retry.Chain(retry.Observe(rec.Add), guard), call)
	fmt.Println(rec.String())
	return err
}

func TestReadme(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	squeeze := func(s string) string { return regexp.MustCompile(`(?m)^\s+`).ReplaceAllString(s, "") }
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != 6 {
		t.Errorf("README has %d Go blocks, and this file 6 functions", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(squeeze(string(source)), squeeze(block[1])) {
			t.Errorf("this block of README is not compiled here:\n%s", block[1])
		}
	}

	ctx := t.Context()
	if user, err := readmeFirst(ctx); user.Name != "Ada" || err != nil {
		t.Errorf("the first block gives (%v, %v)", user, err)
	}
	if err := readmeRecord(ctx, readmeCustom(), func(ctx context.Context) (User, error) { return store.User(ctx, 7) }); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel() // nothing may leave the machine: an ended context sends no request
	err = readmeGet(ended)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	readmeErrors(User{}, err)
	readmeClient(ended, []string{"https://example.com/"})
}
