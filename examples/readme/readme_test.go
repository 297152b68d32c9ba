// Package readme holds the Go blocks of the repository's README to the letter, so that they
// compile. It lies in this module because the blocks use modules that the root must not require.
package readme

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/net/html"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/breaker/redisbreaker"
	"github.com/reprise-go/reprise/httpx"
	"github.com/reprise-go/reprise/httpx/htmlpage"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/redislimit"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/otelretry"
	"github.com/reprise-go/reprise/retry/retrydebug"
	"github.com/reprise-go/reprise/retry/retrytest"
)

type User struct{ Name string }

type Item struct{ Title string }

type database struct{}

func (database) User(context.Context, int) (User, error) { return User{"Ada"}, nil }

var store database

func first(ctx context.Context) (retry.Policy, User, error) {
	guard := retry.Chain( // first is outermost; made once, shared by goroutines and result types
		policies.Exponential(policies.Attempts(4)),
		ratelimit.New(10, 5, ratelimit.MaxWait(time.Second)),
		breaker.New("catalog"),
		policies.Timeout(2*time.Second),                               // of each attempt
		policies.Classify(policies.Final(policies.Is(sql.ErrNoRows))), // an answer, not a failure
	)
	user, err := retry.Do(ctx, guard, func(ctx context.Context) (User, error) {
		return store.User(ctx, 7)
	})
	return guard, user, err
}

func get(ctx context.Context) error {
	resp, err := httpx.Get(ctx, "https://example.com/") // 3 attempts, backoff, Retry-After
	if err == nil {
		resp.Body.Close()
	}
	return err
}

func fetch(ctx context.Context, client *httpx.Client) (Item, error) {
	item, err := httpx.Fetch(ctx, client, "https://shop.example/items/7", httpx.JSON[Item])
	return item, err
}

func save(ctx context.Context, client *httpx.Client) (int64, error) {
	n, err := httpx.Save(ctx, client, "https://shop.example/dump.zip", "dump.zip")
	return n, err
}

func scrape(ctx context.Context, urls []string) retry.Policy {
	guard := retry.Chain(
		policies.Exponential(policies.Attempts(5), policies.Patience(5*time.Minute)),
		policies.Keyed(httpx.Host, func(host string) retry.Policy { // one for each host
			return retry.Chain(ratelimit.NewPacer(ratelimit.Careful()), breaker.New(host))
		}),
	)
	client := httpx.New(
		httpx.WithPolicy(guard),
		httpx.Refused(httpx.Status(403), httpx.Blocked), // bans, and the pages of bot protections
		httpx.Polite("examplebot/1.0"),                  // robots.txt
		httpx.WithLogger(slog.Default()),
	)
	for page := range httpx.FetchAll(ctx, client, slices.Values(urls),
		httpx.Text, httpx.Workers(32)) {
		fmt.Println(page.URL, len(page.Value), page.Err)
	}
	return guard
}

func crawl(ctx context.Context, client *httpx.Client) {
	links := func(p httpx.Result[*html.Node]) []string {
		return htmlpage.Links(p.Value, p.Final, htmlpage.Until(ctx))
	}
	for page := range httpx.Crawl(ctx, client, []string{"https://shop.example/"},
		htmlpage.Document, links) {
		fmt.Println(page.URL, page.Depth, page.Err)
	}
}

func custom() retry.Policy {
	timed := retry.PolicyFunc(func(ctx context.Context, next retry.Next) error {
		start := time.Now()
		err := next.Do(ctx)
		log.Printf("took %v: %v", time.Since(start), err)
		return err
	})
	return timed
}

func outcomes(user User, err error) {
	var gaveUp *retry.Error
	switch {
	case err == nil:
		fmt.Println("have", user)
	case errors.As(err, &gaveUp) && gaveUp.Attempts > 0:
		fmt.Printf("%d attempts in %v, the last: %v\n",
			gaveUp.Attempts, gaveUp.Elapsed, gaveUp.Last)
	case errors.Is(err, retry.ErrRejected): // a breaker, a limiter, a bulkhead
		fmt.Println("not even tried:", err)
	default: // a final answer on the first attempt comes back as it was
		fmt.Println(err)
	}
}

func untilItWorks(ctx context.Context) (retry.Policy, error) {
	stubborn := policies.Exponential(policies.Unlimited(), policies.MaxDelay(10*time.Second))
	err := retry.Run(ctx, stubborn, func(ctx context.Context) error {
		return exec.CommandContext(ctx, "pg_isready", "-h", "db").Run()
	})
	return stubborn, err
}

func guardOfDatabase() retry.Policy {
	budget := policies.NewTokenBudget(10, 0.1)
	db := retry.Chain(
		policies.Exponential(policies.WithBudget(budget)),
		breaker.New("db"),
		policies.Timeout(time.Second),
		policies.Classify(
			// a serialization failure: again, and not the database's fault
			policies.Neutral(policies.SQLState("40001")),
			// answers of a healthy database
			policies.Final(policies.Is(sql.ErrNoRows), policies.SQLState("23505")),
			// a wrong password: not worth repeating
			policies.Fatal(policies.SQLState("28")),
		),
	)
	return db
}

func fleet(rdb *redis.Client) retry.Policy {
	store := redislimit.New(rdb)
	limit := ratelimit.New(100, 20, ratelimit.Shared(store, "catalog"))      // 100/s for the fleet
	pacer := ratelimit.NewPacer(ratelimit.Shared(store, "shop.example"))     // learned together
	circuit := breaker.New("catalog", breaker.Shared(redisbreaker.New(rdb))) // opens by quorum
	return retry.Chain(limit, pacer, circuit)
}

func newGuard(debug *retrydebug.Debug, stop <-chan struct{}) (retry.Policy, error) {
	guard := retry.Chain(
		retry.Observe(otelretry.Observer()),         // OpenTelemetry metrics and spans
		retry.Observe(retry.LogTo(slog.Default())),  // Warn: gave up, rejected, breaker changed
		policies.Exponential(policies.StopOn(stop)), // a graceful shutdown
		ratelimit.New(50, 10, ratelimit.MaxWait(time.Second), ratelimit.Named("catalog")),
		breaker.New("catalog"),
		policies.Timeout(2*time.Second),
	)
	if err := retry.Validate(guard); err != nil { // a bad option is one clear error at start-up
		return nil, err
	}
	for _, w := range retry.Lint(guard) {
		slog.Warn("guard", "warning", w)
	}
	if _, err := otelretry.Watch("catalog", guard); err != nil { // gauges: states, rates, queues
		return nil, err
	}
	return debug.Watch("catalog", guard), nil // the page below
}

func record(ctx context.Context, guard retry.Policy,
	call func(context.Context) (User, error)) error {
	var rec retry.Record
	_, err := retry.Do(ctx, retry.Chain(retry.Observe(rec.Add), guard), call)
	fmt.Println(rec.String())
	return err
}

type Catalog struct{ guard retry.Policy }

func forced() Catalog {
	// What does my code do while the breaker is open?
	catalog := Catalog{guard: retrytest.Refuse(breaker.ErrOpen, time.Minute)}
	return catalog
}

var space = regexp.MustCompile(`\s+`)

func TestReadmeHoldsTheseBlocks(t *testing.T) {
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile("readme_test.go")
	if err != nil {
		t.Fatal(err)
	}
	squeeze := func(s string) string { return strings.TrimSpace(space.ReplaceAllString(s, " ")) }
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(blocks) != 14 {
		t.Errorf("README has %d Go blocks, and this file 14 functions", len(blocks))
	}
	for _, block := range blocks {
		if !strings.Contains(squeeze(string(source)), squeeze(block[1])) {
			t.Errorf("not in this file:\n%s", block[1])
		}
	}
}

// TestReadmeRuns has the blocks do what they can do without a network.
func TestReadmeRuns(t *testing.T) {
	if _, user, err := first(t.Context()); user.Name != "Ada" || err != nil {
		t.Errorf("%v, %v", user, err)
	}
	stop := make(chan struct{})
	guard, err := newGuard(retrydebug.New(), stop)
	if err != nil {
		t.Fatal(err)
	}
	if err := record(t.Context(), guard,
		func(ctx context.Context) (User, error) { return store.User(ctx, 7) }); err != nil {
		t.Error(err)
	}
	guarded := forced()
	_, err = retry.Do(t.Context(), guarded.guard, func(ctx context.Context) (User, error) {
		return store.User(ctx, 7)
	})
	if !errors.Is(err, breaker.ErrOpen) {
		t.Error(err)
	}
	outcomes(User{}, err)
	if err := retry.Validate(retry.Chain(custom(), guardOfDatabase())); err != nil {
		t.Error(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := get(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := fetch(ended, httpx.New()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	t.Chdir(t.TempDir())
	if _, err := save(ended, httpx.New()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	scrape(ended, []string{"https://example.com/"})
	crawl(ended, httpx.New())
	if _, err := untilItWorks(ended); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	if err := retry.Validate(fleet(rdb)); err != nil {
		t.Error(err)
	}
}

// TestLintIsSilent has retry.Lint find nothing in the guards that README shows.
func TestLintIsSilent(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	general, _, _ := first(ended)
	stubborn, _ := untilItWorks(ended)
	production, err := newGuard(retrydebug.New(), make(chan struct{}))
	if err != nil {
		t.Fatal(err)
	}
	crawler := scrape(ended, nil)
	inUse(t, crawler)
	rdb := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer rdb.Close()
	for name, guard := range map[string]retry.Policy{
		"first": general, "until it works": stubborn, "database": guardOfDatabase(),
		"scraping": crawler, "fleet": fleet(rdb), "in production": production,
	} {
		for _, w := range retry.Lint(guard) {
			t.Errorf("%s: %v", name, w)
		}
	}
}

// inUse sends one request through guard, so that Keyed makes the policies of its host.
func inUse(t *testing.T, guard retry.Policy) {
	t.Helper()
	c := httpx.New(httpx.WithPolicy(guard), httpx.WithClient(&http.Client{Transport: answers{}}))
	resp, err := c.Get(t.Context(), "http://shop.example/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	var breakers int
	retry.Walk(guard, func(_ string, p retry.Policy) bool {
		if _, ok := p.(*breaker.Breaker); ok {
			breakers++
		}
		return true
	})
	if breakers != 1 {
		t.Fatalf("%d breakers in use, want 1", breakers)
	}
}

type answers struct{}

func (answers) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}, nil
}
