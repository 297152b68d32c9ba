// Command fleet measures one limit that many processes share through a real redis-server: its cost,
// and whether it holds while processes, the server and its state come and go:
//
//	go run ./ratelimit/redislimit/fleet [-quick] [-only TEXT]
//
// The members of the fleet are processes of this program. redis-server must be on PATH; it runs on
// loopback ports. Without it the command says so, uses an in-process miniredis, and skips the rows
// that need a server's process.
//
// "Needed" is the smallest burst with which a bucket of the same rate would have admitted all calls
// at their times. The bound is burst + limit*lease and what the event adds. The exit code is 1 if a
// row breaks its bound. Other faults, which a busy machine may cause, are only printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == workerArg {
		return work(ctx, args[1:], stdin, stdout, stderr)
	}
	fs := flag.NewFlagSet("fleet", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	quick := fs.Bool("quick", false, "a quarter of the time for each row")
	only := fs.String("only", "", "only rows whose name contains this text")
	err := fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, "fleet measures a limit that processes share through redis-server.\n\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
		return 0
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	if err != nil {
		fmt.Fprintf(stderr, "fleet: %v\n", err)
		return 2
	}
	return measure(ctx, rows(*quick), *only, stdout, stderr)
}

// measure prints the table row by row.
func measure(ctx context.Context, all []row, only string, stdout, stderr io.Writer) int {
	fmt.Fprintf(stdout,
		"one limit of %d/s, burst %d, lease %v, for processes of 8 greedy goroutines each\n\n",
		limit, burst, lease)
	real := haveServer()
	if !real {
		fmt.Fprint(stdout, "redis-server is not on PATH: asking miniredis, "+
			"and skipping what needs a server's process\n\n")
	}
	line := func(columns ...any) {
		fmt.Fprintf(stdout, "%-38s %8s %7s %6s %15s %17s %s\n", columns...)
	}
	line("case", "use", "needed", "bound", "trips per call", "calls by member", "")
	code, fails := 0, []string(nil)
	for _, r := range all {
		if !strings.Contains(r.name, only) {
			continue
		}
		if !real && r.event != nil {
			line(r.name, "skipped", "", "", "", "", "")
			continue
		}
		m, err := r.measure(ctx, real)
		if err != nil {
			fmt.Fprintf(stderr, "fleet: %s: %v\n", r.name, err)
			return 1
		}
		verdict := m.verdict(r)
		line(r.name, percent(m.use), number(m.needed), number(r.bound),
			fmt.Sprintf("%.3f", m.trips), m.shares(r), verdict)
		if verdict == aboveBound {
			code = 1
		}
		if verdict != "" {
			fails = append(fails, r.name)
		}
	}
	asGood, err := pacers(ctx, 4*all[0].took, real, only, stdout)
	if err != nil {
		fmt.Fprintf(stderr, "fleet: %v\n", err)
		return 1
	}
	if !asGood {
		fails = append(fails, "pacers")
	}
	fmt.Fprintf(stdout, "\na decision with tokens in stock: %v\n", decision())
	if len(fails) > 0 {
		fmt.Fprintf(stdout, "NOT as promised: %s\n", strings.Join(fails, "; "))
	}
	return code
}

func percent(x float64) string { return fmt.Sprintf("%.1f %%", x*100) }
func number(x float64) string  { return fmt.Sprintf("%.0f", x) }

const (
	limit = 1000
	burst = 100
	lease = 100 * time.Millisecond
)
