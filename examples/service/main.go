// Command service is a shop. It shows how a larger service uses this library. It calls two HTTP
// services, keeps orders in SQLite and has a pool of workers. Each of these has one guard, built
// from a small JSON file and validated at start-up; handlers with several types of results share
// it. The service's own guard is in front, and drops visitors before orders.
//
//	service                       a tour: starts everything in this program, buys something, stops
//	service -listen :8080         serves until it is interrupted; see /healthz and /guards
//	service -config shop.json     with your own configuration: begin with config.json
//	service -load                 an outage, a brownout, an overload, with guards and without
//
// Read guards.go first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2 // flags, configuration, a port in use
	exitInterrupted = 130
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

type flags struct {
	config, listen, picture string
	load, quick, bare       bool
}

// manners are the ways to run the service, in a load run one after the other.
func (f flags) manners() []manner {
	if f.bare {
		return []manner{bare}
	}
	return []manner{guarded, bare}
}

func parse(args []string, stdout io.Writer) (f flags, err error) {
	fs := flag.NewFlagSet("service", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&f.config, "config", "",
		"configuration file; empty: the built-in config.json")
	fs.StringVar(&f.listen, "listen", "", "serve at this address until interrupted")
	fs.BoolVar(&f.load, "load", false, "run the load, with the guards and without, in 70 s")
	fs.BoolVar(&f.quick, "quick", false, "shorten -load to 20 s")
	fs.BoolVar(&f.bare, "bare", false, "run without the guards; with -load: only that run")
	fs.StringVar(&f.picture, "picture", "service.svg",
		"file that -load draws to; empty: no picture")
	err = fs.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, "service is a shop behind guards.\n\n")
		fs.SetOutput(stdout)
		fs.PrintDefaults()
	case err == nil && fs.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	case err == nil && f.quick && !f.load:
		err = errors.New("-quick is for -load")
	case err == nil && f.load && f.listen != "":
		err = errors.New("-load and -listen exclude each other")
	}
	return f, err
}

func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parse(args, stdout)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return usage(stderr, fmt.Errorf("%w (-h tells the flags)", err))
	}
	c, err := load(f.config)
	if err != nil {
		return usage(stderr, err)
	}
	if f.load {
		return loadAll(ctx, c, f, stdout, stderr)
	}
	w, err := startWorld()
	if err != nil {
		return usage(stderr, err)
	}
	defer w.close()
	w.fill(&c)
	if f.listen != "" {
		c.Listen = f.listen
	}
	s, err := start(c, f.manners()[0], slog.New(slog.NewTextHandler(stderr, nil)))
	if err != nil {
		return usage(stderr, err)
	}
	code := exitOK
	if f.listen != "" {
		fmt.Fprintf(stdout, "serving at http://%s (/products/1, /guards, /healthz)\n", s.address)
		<-ctx.Done()
		fmt.Fprintln(stdout, "shutting down")
	} else if err := tour(ctx, stdout, "http://"+s.address); err != nil {
		fmt.Fprintf(stderr, "service: %v\n", err)
		code = exitFailed
	}
	ending, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.shutdown(ending); err != nil {
		fmt.Fprintf(stderr, "service: %v\n", err)
		return exitFailed
	}
	return code
}

// usage prints in one line what is wrong.
func usage(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "service: %s\n", strings.ReplaceAll(err.Error(), "\n", "; "))
	return exitUsage
}

func loadAll(ctx context.Context, c config, f flags, stdout, stderr io.Writer) int {
	second := time.Second
	if f.quick {
		second /= 4
	}
	plan := phases(second)
	var runs []run
	for _, how := range f.manners() {
		switch how {
		case guarded:
			fmt.Fprintln(stdout, "running with guards ...")
		case bare:
			fmt.Fprintln(stdout, "running bare: three attempts at once, and nothing else ...")
		}
		r, err := loadRun(ctx, c, how, plan)
		if ctx.Err() != nil {
			fmt.Fprintln(stderr, "service: interrupted")
			return exitInterrupted
		}
		if err != nil {
			return usage(stderr, err)
		}
		runs = append(runs, r)
	}
	fmt.Fprintln(stdout)
	report(stdout, plan, runs)
	if f.picture == "" {
		return exitOK
	}
	if err := picture(f.picture, plan, runs); err != nil {
		return usage(stderr, err)
	}
	fmt.Fprintf(stdout, "\nthe picture: %s\n", f.picture)
	return exitOK
}

// tour makes a few requests, as a visitor would.
func tour(ctx context.Context, out io.Writer, base string) error {
	for _, step := range []struct {
		path string
		form url.Values
	}{
		{"/products/7", nil},
		{"/orders", url.Values{"product": {"7"}, "key": {"tour"}}},
		{"/orders/1", nil},
		{"/orders/99", nil},
		{"/healthz", nil},
	} {
		method, body := http.MethodGet, ""
		if step.form != nil {
			method, body = http.MethodPost, step.form.Encode()
		}
		req, err := http.NewRequestWithContext(ctx, method, base+step.path, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%-4s %-12s %d  %s\n", method, step.path, resp.StatusCode,
			strings.TrimSpace(string(text)))
	}
	return nil
}
