// Command anycall guards a call that has nothing to do with HTTP: several writers store orders in
// one embedded SQLite database, which really locks. A locked database is worth another try, a
// violated constraint is an answer.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/policies"
	"github.com/reprise-go/reprise/retry"
	"github.com/reprise-go/reprise/retry/retrydebug"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("anycall", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	writers := fs.Int("writers", 4,
		"goroutines that write at once, each with its own connection")
	orders := fs.Int("orders", 3, "orders that each writer stores")
	address := fs.String("http", "",
		"then serve the story as a page at this address, such as 127.0.0.1:8080, until interrupted")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout,
			"anycall has several writers store orders in one SQLite database that locks.\n\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return 0
	case err == nil && (*writers < 1 || *writers > 100 || *orders < 1 || *orders > 1000):
		err = errors.New("-writers must be 1 to 100 and -orders 1 to 1000")
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "anycall: %v\n", err)
		return 2
	}
	debug := retrydebug.New()
	if err := shop(ctx, *writers, *orders, debug, stdout); err != nil {
		fmt.Fprintf(stderr, "anycall: %v\n", err)
		return 1
	}
	if *address == "" {
		return 0
	}
	if err := serve(ctx, *address, debug, stdout); err != nil {
		fmt.Fprintf(stderr, "anycall: %v\n", err)
		return 2
	}
	return 0
}

// sqliteCode reports whether err is SQLite's error with this primary result code.
func sqliteCode(code int) func(error) bool {
	return func(err error) bool {
		e, ok := errors.AsType[*sqlite.Error](err)
		return ok && e.Code()&0xff == code
	}
}

var (
	locked   = sqliteCode(sqlite3.SQLITE_BUSY)
	conflict = sqliteCode(sqlite3.SQLITE_CONSTRAINT)
)

// guard is made once and shared by all writers.
func guard() retry.Policy {
	return retry.Chain(
		policies.Exponential(policies.Attempts(20), policies.Initial(2*time.Millisecond),
			policies.MaxDelay(50*time.Millisecond),
			policies.WithJitter(policies.Full),
			// all writers together: no storm of retries
			policies.WithBudget(policies.NewTokenBudget(200, 0.5))),
		breaker.New("orders", breaker.ConsecutiveFailures(30)), // more than one order's attempts
		policies.Classify(
			// busy is alive: retried, and not the breaker's business
			policies.Neutral(policies.Func(locked)),
			policies.Final(policies.Func(conflict)), // trying again cannot help
		),
	)
}

// result is the outcome of one order.
type result struct {
	writer, order int
	calls         int
	took          time.Duration
	err           error
	record        *retry.Record
}

// serve shows the page until ctx ends.
func serve(ctx context.Context, address string, page http.Handler, out io.Writer) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("-http %s: %w", address, err)
	}
	fmt.Fprintf(out, "\nthe same story as a page: http://%s/\n", l.Addr())
	server := &http.Server{Handler: page, ReadHeaderTimeout: 5 * time.Second}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// shop has writers store orders at the same time.
func shop(ctx context.Context, writers, orders int, debug *retrydebug.Debug, out io.Writer) error {
	dir, err := os.MkdirTemp("", "anycall")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	db, err := open(ctx, filepath.Join(dir, "orders.db"))
	if err != nil {
		return err
	}
	defer db.Close()
	fmt.Fprintf(out, "%d writers store %d orders each in one SQLite database, "+
		"which a slow transaction has locked for 40 ms\n", writers, orders)
	unlock, err := lock(ctx, db)
	if err != nil {
		return err
	}
	time.AfterFunc(40*time.Millisecond, unlock)

	chain := debug.Watch("orders", guard())
	results := make(chan result)
	var busy sync.WaitGroup
	for w := 1; w <= writers; w++ {
		busy.Go(func() {
			for o := 1; o <= orders; o++ {
				results <- store(ctx, chain, db, w, 100*w+o)
			}
			results <- store(ctx, chain, db, w, 101) // an order number that writer 1 uses
		})
	}
	go func() { busy.Wait(); close(results) }()
	return report(out, results)
}

// open makes the database. It turns SQLite's own busy timeout off: a locked database answers
// SQLITE_BUSY at once, and the waiting is the chain's.
func open(ctx context.Context, file string) (*sql.DB, error) {
	name := "file:" + filepath.ToSlash(file) + "?_txlock=immediate&_pragma=busy_timeout(0)"
	db, err := sql.Open("sqlite", name)
	if err != nil {
		return nil, err
	}
	_, err = db.ExecContext(ctx,
		"CREATE TABLE orders (id INTEGER PRIMARY KEY, writer INTEGER NOT NULL)")
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// report prints each result as it comes, and at the end the flight record of the order that took
// most calls. It returns the last failure.
func report(out io.Writer, results <-chan result) (failed error) {
	var longest result
	for r := range results {
		switch {
		case r.err == nil:
			fmt.Fprintf(out, "writer %d: order %d stored, call %d of it, %v\n", r.writer, r.order,
				r.calls, r.took.Round(time.Millisecond))
		case conflict(r.err):
			fmt.Fprintf(out, "writer %d: order %d exists already, not tried again after call %d\n",
				r.writer, r.order, r.calls)
		default:
			failed = r.err
			fmt.Fprintf(out, "writer %d: order %d not stored: %v\n", r.writer, r.order, r.err)
		}
		if r.calls > longest.calls {
			longest = r
		}
	}
	fmt.Fprintf(out, "\nthe flight record of order %d, the one with most calls:\n%s\n",
		longest.order, longest.record)
	return failed
}

// store writes one order through the chain.
func store(ctx context.Context, chain retry.Policy, db *sql.DB, writer, order int) result {
	r := result{writer: writer, order: order, record: new(retry.Record)}
	start := time.Now()
	recorded := retry.Chain(retry.Observe(r.record.Add), chain)
	r.err = retry.Run(ctx, recorded, func(ctx context.Context) error {
		r.calls++
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // after Commit it does nothing
		const insert = "INSERT INTO orders (id, writer) VALUES (?, ?)"
		if _, err := tx.ExecContext(ctx, insert, order, writer); err != nil {
			return err
		}
		return tx.Commit()
	})
	r.took = time.Since(start)
	return r
}

// lock holds the database's write lock until unlock is called.
func lock(ctx context.Context, db *sql.DB) (unlock func(), err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return func() { _ = tx.Rollback() }, nil
}
