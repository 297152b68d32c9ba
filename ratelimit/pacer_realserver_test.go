package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/limitertest"
	"github.com/reprise-go/reprise/retry"
)

// These tests run in real time against the servers that the models stand for, over loopback.

const (
	realRate = 50 // requests a second that every server permits
	learning = 4 * time.Second
	keeping  = 2 * time.Second
)

// server is a real one and its model.
type server struct {
	name  string
	start func(t *testing.T) (url string)
	model func() *limitertest.Server
}

var servers = []server{
	{"nginx without burst", nginx("limit_req zone=z"), func() *limitertest.Server {
		return limitertest.Nginx(realRate, 0, true)
	}},
	{"nginx burst 10 nodelay", nginx("limit_req zone=z burst=10 nodelay"),
		func() *limitertest.Server { return limitertest.Nginx(realRate, 10, true) }},
	{"nginx burst 10 delay", nginx("limit_req zone=z burst=10"), func() *limitertest.Server {
		return limitertest.Nginx(realRate, 10, false)
	}},
	{"haproxy", haproxy("http-request deny deny_status 429"), func() *limitertest.Server {
		return limitertest.HAProxy(realRate, time.Second)
	}},
}

// The pacer gets as much out of the real server as out of its model, within 10 points of what the
// server permits.
func TestRealServersAgreeWithTheirModels(t *testing.T) {
	t.Parallel()
	for _, s := range servers {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			url := s.start(t)
			const runs = 20
			var model result
			synctest.Test(t, func(t *testing.T) {
				for range runs {
					r := crawl(t, learning, ratelimit.NewPacer(), modelled(s.model()))
					model.ok += r.ok
					model.refused += r.refused
				}
			})
			want := model.points(learning) / runs
			tries(t, func() string {
				got := crawl(t, learning, ratelimit.NewPacer(), fetched(url))
				t.Logf("real %.0f %% with %d refused, model %.0f %% with %d refused",
					got.points(learning), got.refused, want, model.refused/runs)
				if d := got.points(learning) - want; d < -10 || d > 10 {
					return fmt.Sprintf("real %.1f %%, model %.1f %%: more than 10 points apart",
						got.points(learning), want)
				}
				return ""
			})
		})
	}
}

// A limiter below the server's limit is never refused, and gets all that it was allowed.
func TestLimiterKeepsWithinRealServers(t *testing.T) {
	t.Parallel()
	for _, s := range servers[1:] {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			url := s.start(t)
			tries(t, func() string {
				got := crawl(t, keeping, ratelimit.New(.8*realRate, 2), fetched(url))
				t.Logf("%.0f %% with %d refused", got.points(keeping), got.refused)
				if got.refused > 0 || got.points(keeping) < 70 {
					return fmt.Sprintf("%d refused, %.1f %%", got.refused, got.points(keeping))
				}
				return ""
			})
		})
	}
}

// A Retry-After that one call hears holds all: the server, which counts what it refuses, has
// nothing to refuse after the first burst.
func TestLimiterObeysARealServersRetryAfter(t *testing.T) {
	t.Parallel()
	url := haproxy(`http-request return status 429 hdr retry-after 2`)(t)
	tries(t, func() string {
		var mu sync.Mutex
		var refusals []time.Time
		fetch := fetched(url)
		crawl(t, learning, ratelimit.New(10*realRate, 8), func(ctx context.Context) error {
			err := fetch(ctx)
			if wait, refused := retry.RetryAfter(err); refused {
				mu.Lock()
				refusals = append(refusals, time.Now())
				mu.Unlock()
				return retry.After(err, max(wait, 2*time.Second))
			}
			return err
		})
		if len(refusals) == 0 {
			return "never refused: the test shows nothing"
		}
		for i := range len(refusals) - 1 {
			if gap := refusals[i+1].Sub(refusals[i]); gap > 200*ms && gap < 1900*ms {
				return fmt.Sprintf("a refusal %v after another: somebody did not wait", gap)
			}
		}
		return ""
	})
}

// tries fails if what it tries fails each time of eight: these tests run in real time, beside
// whatever else the machine does. A machine whose timers were late each time shows nothing.
func tries(t *testing.T, try func() (problem string)) {
	t.Helper()
	var problem string
	calm := false
	for range 8 {
		late := lateness()
		if problem = try(); problem == "" {
			_ = late()
			return
		}
		was := late()
		calm = calm || was < 20*ms
		t.Logf("once more (a timer was %v late): %s", was, problem)
		time.Sleep(1500 * ms) // until the servers have forgotten
	}
	if !calm {
		t.Skipf("the machine is too busy for a test in real time: %s", problem)
	}
	t.Error(problem)
}

// lateness watches how late the machine's timers are until the function it returns is called, which
// tells the worst.
func lateness() (worst func() time.Duration) {
	stop, most := make(chan struct{}), make(chan time.Duration)
	go func() {
		var late time.Duration
		for {
			due := time.Now().Add(5 * ms)
			select {
			case <-time.After(5 * ms):
				late = max(late, time.Since(due))
			case <-stop:
				most <- late
				return
			}
		}
	}()
	return func() time.Duration { close(stop); return <-most }
}

type result struct{ ok, refused int }

// points is what was served of what the server permits.
func (r result) points(d time.Duration) float64 {
	return 100 * float64(r.ok) / (realRate * d.Seconds())
}

// crawl has eight workers call for the time d.
func crawl(t *testing.T, d time.Duration, p retry.Policy, call func(context.Context) error) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(bg, d)
	defer cancel()
	var ok, refused atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				err := retry.Run(ctx, p, func(ctx context.Context) error {
					err := call(ctx)
					if err == nil {
						ok.Add(1)
					} else if _, marked := retry.RetryAfter(err); marked {
						refused.Add(1)
					} else if ctx.Err() == nil {
						t.Errorf("neither served nor refused: %v", err)
					}
					return err
				})
				if _, rejected := retry.Rejected(err); rejected { // no turn before the end
					return
				}
			}
		})
	}
	wg.Wait()
	return result{int(ok.Load()), int(refused.Load())}
}

var errRefused = errors.New("refused")

func modelled(s *limitertest.Server) func(context.Context) error {
	s.Latency = ms
	start := time.Now()
	return func(context.Context) error {
		a := s.Serve(time.Since(start))
		time.Sleep(a.Busy)
		if a.Status != http.StatusOK {
			return retry.After(errRefused, 0)
		}
		return nil
	}
}

func fetched(url string) func(context.Context) error {
	return func(ctx context.Context) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusOK:
			return nil
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			return retry.After(errRefused, 0)
		}
		return fmt.Errorf("status %d", resp.StatusCode)
	}
}

func nginx(rule string) func(t *testing.T) string {
	return func(t *testing.T) string {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "index.html"), "hello")
		var temp strings.Builder
		for _, what := range []string{"client_body", "proxy", "fastcgi", "uwsgi", "scgi"} {
			fmt.Fprintf(&temp, "%s_temp_path %s/%s; ", what, dir, what)
		}
		// Not "return 200": that answers before limit_req is asked.
		return launch(t, "nginx", fmt.Sprintf(`
			daemon off; master_process off; pid %[1]s/pid; error_log stderr crit;
			events {}
			http {
				access_log off; %[2]s
				limit_req_zone $binary_remote_addr zone=z:1m rate=%[3]dr/s;
				server { listen ADDRESS; location / { root %[1]s; %[4]s; } }
			}`, dir, temp.String(), realRate, rule), "-p", dir, "-c")
	}
}

func haproxy(refuse string) func(t *testing.T) string {
	return func(t *testing.T) string {
		return launch(t, "haproxy", fmt.Sprintf(`
defaults
	mode http
	timeout client 5s
	timeout connect 5s
	timeout server 5s
frontend f
	bind ADDRESS
	stick-table type ip size 1k expire 1m store http_req_rate(1s)
	http-request track-sc0 src
	%s if { sc_http_req_rate(0) gt %d }
	http-request return status 200
`, refuse, realRate), "-f")
	}
}

// launch runs a server on a free port until the test is over.
func launch(t *testing.T, program, conf string, args ...string) (url string) {
	t.Helper()
	if testing.Short() {
		t.Skip("real servers take real time")
	}
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program) // not in everybody's PATH
	}
	if err != nil {
		t.Skipf("%s is not installed: the real server is not tested (Debian: apt-get install %s)",
			program, program)
	}
	var said string
	for range 5 { // somebody else may be given the port before the server has it
		if url, said = start(t, path, conf, args...); url != "" {
			return url
		}
	}
	t.Fatalf("%s did not start: %s", program, said)
	return ""
}

func start(t *testing.T, path, conf string, args ...string) (url, said string) {
	address := unusedAddress(t)
	file := filepath.Join(t.TempDir(), "conf")
	write(t, file, strings.ReplaceAll(conf, "ADDRESS", address))
	var stderr strings.Builder
	cmd := exec.Command(path, append(args, file)...)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	stop := func() {
		_ = cmd.Process.Kill()
		<-ended
	}
	for range 200 {
		select {
		case <-ended:
			return "", stderr.String()
		case <-time.After(25 * ms):
		}
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			t.Cleanup(stop)
			return "http://" + address + "/", ""
		}
	}
	stop()
	return "", "it does not listen"
}

// given are the addresses that servers of this run have had. HAProxy shares a port that is taken
// instead of failing, so that two tests with the same one would talk to each other's server.
var given sync.Map

func unusedAddress(t *testing.T) string {
	for {
		free, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		address := free.Addr().String()
		_ = free.Close()
		if _, before := given.LoadOrStore(address, true); !before {
			return address
		}
	}
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
