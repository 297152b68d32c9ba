package redisbreaker_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/breaker/redisbreaker"
	"github.com/reprise-go/reprise/retry"
)

// The members of this test are processes: the test's own binary, which is told so by its
// environment.
func TestMain(m *testing.M) {
	redis.SetLogger(quiet{})
	if os.Getenv("FLEET_REDIS") != "" {
		member()
		return
	}
	os.Exit(m.Run())
}

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

const (
	openFor = time.Second
	period  = 5 * time.Millisecond // between two calls of a member
)

// member calls the callee until its standard input ends, and writes a line for each state.
func member() {
	threshold, _ := strconv.Atoi(os.Getenv("FLEET_THRESHOLD"))
	c := redis.NewClient(&redis.Options{Addr: os.Getenv("FLEET_REDIS"), MaxRetries: -1,
		ContextTimeoutEnabled: true})
	b := breaker.New("catalog", breaker.ConsecutiveFailures(threshold), breaker.OpenFor(openFor),
		breaker.Shared(redisbreaker.New(c)), breaker.OnChange(func(c breaker.Change) {
			fmt.Println(c.To)
		}))
	var over atomic.Bool
	go func() { _, _ = io.Copy(io.Discard, os.Stdin); over.Store(true) }()
	for !over.Load() {
		go func() {
			_ = retry.Run(context.Background(), b, func(ctx context.Context) error {
				res, err := http.Get(os.Getenv("FLEET_CALLEE"))
				if err != nil {
					return err
				}
				res.Body.Close()
				if res.StatusCode >= 500 {
					return fmt.Errorf("%s", res.Status)
				}
				return nil
			})
		}()
		time.Sleep(period)
	}
}

// process is a member.
type process struct {
	mu    sync.Mutex
	state string
}

func (p *process) is(state string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.state == state
}

func startMember(t *testing.T, redis, callee string, threshold int) *process {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "FLEET_REDIS="+redis, "FLEET_CALLEE="+callee,
		fmt.Sprint("FLEET_THRESHOLD=", threshold))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{state: "closed"}
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.mu.Lock()
			p.state = lines.Text()
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() { in.Close(); _ = cmd.Wait() })
	return p
}

// callee counts what reaches it.
type callee struct {
	*httptest.Server
	down  atomic.Bool
	calls atomic.Int64
}

func newCallee(t *testing.T) *callee {
	c := &callee{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		c.calls.Add(1)
		if c.down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func all(ps []*process, state string) func() bool {
	return func() bool {
		for _, p := range ps {
			if !p.is(state) {
				return false
			}
		}
		return true
	}
}

// inOneOf fails if each of so many tries has a problem: others use the machine too.
func inOneOf(t *testing.T, tries int, try func() (problem string)) {
	t.Helper()
	var problem string
	for range tries {
		if problem = try(); problem == "" {
			return
		}
		t.Log(problem)
	}
	t.Error(problem)
}

// TestFleetOfProcesses prints its figures: go test -v -run TestFleetOfProcesses
// ./breaker/redisbreaker
func TestFleetOfProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped: it takes 20 s")
	}
	s := start(t)
	c := newCallee(t)
	var voters, followers []*process
	for range 4 {
		voters = append(voters, startMember(t, s.addr, c.URL, 5))
		// these open by the fleet alone
		followers = append(followers, startMember(t, s.addr, c.URL, 1e9))
	}
	fleet := append(append([]*process{}, voters...), followers...)
	time.Sleep(2 * time.Second)

	dead := startMember(t, s.addr, "http://"+free(t), 5) // its network is broken
	eventually(t, "the bad node opens", func() bool { return dead.is("open") })
	before := c.calls.Load()
	time.Sleep(2 * time.Second)
	rate := float64(c.calls.Load()-before) / 2
	if !all(fleet, "closed")() {
		t.Error("one bad node has opened others")
	}
	t.Logf("one bad node of 9: the others stay closed, %.0f calls/s", rate)

	inOneOf(t, 5, func() (problem string) {
		c.down.Store(true)
		began := time.Now()
		eventually(t, "the voters open", all(voters, "open"))
		quorum, at := time.Since(began), c.calls.Load()
		eventually(t, "all open", all(fleet, "open"))
		took, after := time.Since(began)-quorum, c.calls.Load()-at
		// 300 ms, a round trip, and what a busy machine adds.
		if took > 500*time.Millisecond || float64(after) > 0.5*rate {
			c.down.Store(false)
			eventually(t, "all close", all(fleet, "closed"))
			return fmt.Sprintf("all know after %v, %d calls", took, after)
		}
		t.Logf("callee dead: quorum after %v, all know %v later, %d calls reached it meanwhile",
			quorum, took, after)
		return ""
	})

	time.Sleep(300 * time.Millisecond) // what is under way
	const openTimes = 8
	inOneOf(t, 3, func() (problem string) {
		began, before := time.Now(), c.calls.Load()
		time.Sleep(openTimes * openFor)
		probes, most := c.calls.Load()-before, int64(time.Since(began)/openFor)
		if probes > most || probes < openTimes/4 {
			return fmt.Sprintf("%d probes in %d open times", probes, most)
		}
		t.Logf("8 members: %d probes in %d open times", probes, most)
		return ""
	})

	c.down.Store(false)
	eventually(t, "all close", all(fleet, "closed"))
	s.kill()
	inOneOf(t, 5, func() (problem string) {
		before := c.calls.Load()
		time.Sleep(2 * time.Second)
		now := float64(c.calls.Load()-before) / 2
		if now < 0.8*rate || !all(fleet, "closed")() {
			return fmt.Sprintf("Redis killed: %.0f calls/s instead of %.0f", now, rate)
		}
		t.Logf("Redis killed: nothing changes, %.0f calls/s", now)
		return ""
	})
	c.down.Store(true)
	eventually(t, "each by itself opens", all(voters, "open"))
	if all(followers, "open")() {
		t.Error("without a store nobody is followed")
	}
	if !s.run(t) {
		t.Fatal("redis-server does not answer")
	}
	eventually(t, "the fleet opens again", all(fleet, "open"))
	t.Logf("Redis back, empty: the fleet is open again")
}
