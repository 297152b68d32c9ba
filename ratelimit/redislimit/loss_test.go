package redislimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/ratelimit"
	"github.com/reprise-go/reprise/ratelimit/redislimit"
	"github.com/reprise-go/reprise/retry"
)

const (
	ms   = time.Millisecond
	name = "catalog"
	hash = "{reprise:catalog}:b"
)

func nop(context.Context) error { return nil }

// callee counts the calls that greedy callers get through, and what the others hear.
type callee struct {
	takes   time.Duration // a call
	calls   atomic.Int64
	longest atomic.Int64 // ns that a call took, its wait included

	mu     sync.Mutex
	last   *retry.Rejection
	events []string
}

// greedy has callers call until ctx ends, each call with a deadline of its own.
func (c *callee) greedy(ctx context.Context, wg *sync.WaitGroup, callers int, l retry.Policy) {
	watch := retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Kind == retry.KindChange {
			c.mu.Lock()
			c.events = append(c.events, fmt.Sprintf("%s > %s: %v", e.From, e.To, e.Err))
			c.mu.Unlock()
		}
	})
	guard := retry.Chain(watch, l)
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				one, cancel := context.WithTimeout(ctx, patience)
				err := retry.Run(one, guard, c.work)
				cancel()
				c.longest.Store(max(c.longest.Load(), int64(time.Since(begin))))
				if err == nil {
					c.calls.Add(1)
					continue
				}
				if r := (*retry.Rejection)(nil); errors.As(err, &r) && ctx.Err() == nil {
					c.mu.Lock()
					c.last = r
					c.mu.Unlock()
				}
				time.Sleep(2 * ms)
			}
		})
	}
}

func (c *callee) work(context.Context) error { time.Sleep(c.takes); return nil }

// patience is the deadline of each call.
const patience = 300 * ms

// during is how many calls get through in a time.
func (c *callee) during(d time.Duration) int {
	before := c.calls.Load()
	time.Sleep(d)
	return int(c.calls.Load() - before)
}

// trouble is one way in which a Redis fails its clients.
type trouble struct {
	name       string
	text       string // what the error says
	late       string // or this, of an answer that came after all
	begin, end func(t *testing.T, m *rig)
	real       bool // needs a redis-server
	once       bool // a client that tries again by itself would hide it
}

// rig is a Redis behind a port that can be cut.
type rig struct {
	mini   *miniredis.Miniredis
	server *server
	admin  *redis.Client // not through the port
	port   *port
	keys   []string // of the buckets
	busy   context.CancelFunc
}

func answers(text string) (begin, end func(*testing.T, *rig)) {
	return func(_ *testing.T, r *rig) { r.mini.SetError(text) }, func(_ *testing.T, r *rig) {
		r.mini.SetError("")
	}
}

func troubles() []trouble {
	with := func(name, text, answer string) trouble {
		begin, end := answers(answer)
		return trouble{name: name, text: text, begin: begin, end: end}
	}
	loading := with("loading", "LOADING", "LOADING Redis is loading the dataset in memory")
	loading.once = true
	cut := func(t *testing.T, r *rig) { r.port.cut(true) }
	joined := func(t *testing.T, r *rig) { r.port.cut(false) }
	return []trouble{
		{name: "down", text: "", begin: cut, end: joined},
		{name: "cut off without a word", text: "no answer in time",
			begin: func(t *testing.T, r *rig) { r.port.hold(true) },
			end:   func(t *testing.T, r *rig) { r.port.hold(false) }},
		{name: "slow", text: "no answer in time", late: "an answer took",
			begin: func(t *testing.T, r *rig) { r.port.slow.Store(int64(400 * ms)) },
			end:   func(t *testing.T, r *rig) { r.port.slow.Store(0) }},
		with("full", "OOM command not allowed",
			"OOM command not allowed when used memory > 'maxmemory'."),
		loading,
		with("script killed", "Script killed",
			"ERR Error running script: Script killed by user with SCRIPT KILL"),
		{
			name: "AUTH fails", text: "NOAUTH",
			begin: func(t *testing.T, r *rig) { r.mini.RequireAuth("secret") },
			end:   func(t *testing.T, r *rig) { r.mini.RequireAuth("") },
		},
		{
			name: "wrong type", text: "WRONGTYPE",
			begin: func(t *testing.T, r *rig) {
				for _, key := range r.keys {
					r.admin.Del(bg, key)
					r.admin.Set(bg, key, "x", 0)
				}
			},
			end: func(t *testing.T, r *rig) { r.admin.Del(bg, r.keys...) },
		},
		{
			name: "a read-only replica", text: "READONLY", real: true, once: true,
			begin: func(t *testing.T, r *rig) { r.admin.SlaveOf(bg, "127.0.0.1", "1") },
			end:   func(t *testing.T, r *rig) { r.admin.SlaveOf(bg, "NO", "ONE") },
		},
		{
			name: "busy with another's script", text: "", real: true,
			begin: func(t *testing.T, r *rig) {
				r.admin.ConfigSet(bg, "lua-time-limit", "20")
				ctx, cancel := context.WithCancel(bg)
				r.busy = cancel
				go redis.NewClient(&redis.Options{Addr: r.server.addr,
					ReadTimeout: time.Minute}).Eval(ctx, "while true do end", nil)
			},
			end: func(t *testing.T, r *rig) { r.busy(); r.admin.Do(bg, "SCRIPT", "KILL") },
		},
		{
			name: "stopped", text: "no answer in time", real: true,
			begin: func(t *testing.T, r *rig) { r.server.cmd.Process.Signal(syscall.SIGSTOP) },
			end:   func(t *testing.T, r *rig) { r.server.cmd.Process.Signal(syscall.SIGCONT) },
		},
	}
}

func newRig(t *testing.T, real bool) (*rig, *redis.Client) {
	r := &rig{}
	addr := ""
	if real {
		r.server = start(t)
		addr = r.server.addr
	} else {
		r.mini = miniredis.RunT(t)
		addr = r.mini.Addr()
	}
	r.admin = client(t, addr)
	r.port = newPort(t, addr)
	return r, client(t, r.port.addr())
}

// Whatever befalls the server, no call outlives its own deadline, OnLoss holds, one event and the
// error say what it is, and the fleet recovers by itself.
func TestTheServerFails(t *testing.T) {
	for _, tr := range troubles() {
		t.Run(tr.name, func(t *testing.T) {
			t.Parallel()
			fails(t, tr)
		})
	}
}

// kind is a policy that loses its server. All make 200 calls a second.
type kind struct {
	name string
	make func(ratelimit.Option) policy
}

type policy interface {
	retry.Policy
	fmt.Stringer
}

// kindsHere are those of them that a run with -short tries, for which the others take too long.
func kindsHere() []kind {
	if testing.Short() {
		return kinds[:1]
	}
	return kinds
}

var kinds = []kind{
	{"limiter", func(o ratelimit.Option) policy { return ratelimit.New(200, 20, o) }},
	{"pacer", func(o ratelimit.Option) policy {
		return ratelimit.NewPacer(o, ratelimit.StartRate(200), ratelimit.MaxRate(200))
	}},
	{"strict limiter", func(o ratelimit.Option) policy { return ratelimit.New(200, 100, o) }},
}

// shared makes one of the kind. Its lease is so long that a busy machine keeps it.
func (k kind) shared(c *redis.Client, name string, opts ...ratelimit.SharedOption) policy {
	opts = append(opts, ratelimit.Lease(300*ms))
	if k.name == "strict limiter" {
		opts = append(opts, ratelimit.Strict())
	}
	return k.make(ratelimit.Shared(redislimit.New(c), name, opts...))
}

// subject is a member, alone in its fleet, that loses its server.
type subject struct {
	callee
	kind string
	loss ratelimit.Loss
	p    policy
	n    int // calls in the last span
}

const (
	span = 500 * ms
	late = 2 * time.Second // how late a busy machine may be
)

type subjects []*subject

// become waits until nothing is wrong after a span, because a machine that does other things too
// may be late now and then, and returns what still is.
func (all subjects) become(
	t *testing.T, when string, after time.Duration, spans int, wrong func() string,
) (text string) {
	time.Sleep(after)
	for range spans {
		for _, s := range all {
			s.n = -int(s.calls.Load())
		}
		time.Sleep(span)
		for _, s := range all {
			s.n += int(s.calls.Load())
		}
		if text = wrong(); text == "" {
			return ""
		}
		t.Log(when, text)
	}
	return when + ": " + text
}

// lively is which of them has made too few calls in the last span: 200 a second are 100.
func (all subjects) lively() string {
	for _, s := range all {
		if s.n < 25 {
			return s.says()
		}
	}
	return ""
}

func (s *subject) says() string {
	return fmt.Sprintf("%s, %v: %d calls; it says %s", s.kind, s.loss, s.n, s.p)
}

func fails(t *testing.T, tr trouble) {
	r, c := newRig(t, tr.real) // a default client, which tries again and does not heed contexts
	if tr.once {
		c = redis.NewClient(&redis.Options{Addr: r.port.addr(), MaxRetries: -1,
			ContextTimeoutEnabled: true})
		t.Cleanup(func() { c.Close() })
	}
	ctx, cancel := context.WithCancel(bg)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	all := subjects{}
	for _, k := range kindsHere() {
		for _, loss := range []ratelimit.Loss{ratelimit.Share, ratelimit.Open, ratelimit.Closed} {
			name := k.name + loss.String()
			r.keys = append(r.keys, redislimit.Keys(name)[0])
			s := &subject{kind: k.name, loss: loss, p: k.shared(c, name, ratelimit.OnLoss(loss))}
			s.takes = 2 * ms
			all = append(all, s)
			s.greedy(ctx, &wg, 3, s.p)
		}
	}
	problem := "never begun"
	// The part that a member goes on with is what it had before: little if the machine kept it from
	// asking. Then another time shows more.
	for tries := 0; tries < 8 && problem != ""; tries++ {
		if problem = all.become(t, "before", time.Second, 60, all.lively); problem != "" {
			break
		}
		tr.begin(t, r)
		problem = all.become(t, "on its own", 400*ms, 6, func() string { return all.wrong(tr) })
		tr.end(t, r)
	}
	if problem == "" {
		problem = all.become(t, "after", 800*ms, 60, all.lively)
	}
	if problem != "" {
		t.Error(problem)
	}
	for _, s := range all {
		if took := time.Duration(s.longest.Load()); took > patience+late {
			t.Errorf("%v: a call took %v, its deadline was %v", s.loss, took, patience)
		}
		s.isTold(t)
	}
}

// named reports whether a text says what the trouble is.
func (tr trouble) named(text string) bool {
	return strings.Contains(text, tr.text) || tr.late != "" && strings.Contains(text, tr.late)
}

func (all subjects) wrong(tr trouble) string {
	for _, s := range all {
		if wrong := s.wrong(tr); wrong != "" {
			return wrong
		}
	}
	return ""
}

// wrong is what is not as it should be while the store is away.
func (s *subject) wrong(tr trouble) string {
	text := s.p.String()
	if !strings.Contains(text, "store away") || !tr.named(text) {
		return fmt.Sprintf("it says %s, want %q", text, tr.text)
	}
	switch {
	case s.loss == ratelimit.Share && s.n < 10, // its part may have become small before
		s.loss == ratelimit.Open && s.n < 25, // a pacer's machine keeps the rate
		s.loss == ratelimit.Open && s.n < 120 && s.kind != "pacer":
		return s.says()
	case s.loss == ratelimit.Closed:
		return s.closed()
	}
	return ""
}

// closed is what is wrong with a member that is to make no call, and to say why.
func (s *subject) closed() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.last; s.n > 5 || last == nil || !errors.Is(last, ratelimit.ErrLimited) ||
		last.Cause == nil {
		return fmt.Sprintf("%d calls of a closed one, whose rejections are %+v", s.n, last)
	}
	return ""
}

// isTold checks that an event has told of the loss, and why. If a question was lost before the
// trouble, by a stall of the machine, the event tells of that.
func (s *subject) isTold(t *testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := "shared > store away, " + s.loss.String() + ": "
	if !slices.ContainsFunc(s.events, func(e string) bool {
		return strings.HasPrefix(e, from) && e != from+"<nil>"
	}) {
		t.Errorf("%v: heard of %q", s.loss, s.events)
	}
}

// A server that is full goes on with the limits, which need next to no memory: its rule is that a
// script whose first write frees some may go on.
func TestTheServerIsFull(t *testing.T) {
	t.Parallel()
	c := client(t, start(t).addr)
	if err := c.ConfigSet(bg, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	if err := c.Set(bg, "x", "y", 0).Err(); err == nil || !strings.HasPrefix(err.Error(), "OOM") {
		t.Fatalf("it is not full: %v", err)
	}
	for _, k := range kindsHere() {
		p := k.shared(c, k.name)
		for range 50 {
			if err := retry.Run(bg, p, nop); err != nil {
				t.Fatal(k.name, err)
			}
		}
	}
}

// A server that is down when the fleet starts: a member that was never granted anything is closed
// until it is there.
func TestTheServerIsDownAtTheStart(t *testing.T) {
	for _, k := range kindsHere() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			r, c := newRig(t, false)
			r.port.cut(true)
			p := k.shared(c, name)
			var to callee
			ctx, cancel := context.WithCancel(bg)
			var wg sync.WaitGroup
			to.greedy(ctx, &wg, 4, p)
			defer wg.Wait()
			defer cancel()
			if n := to.during(500 * ms); n != 0 {
				t.Errorf("%d calls", n)
			}
			r.port.cut(false)
			for range 60 {
				if n := to.during(time.Second); n >= 100 {
					return
				}
			}
			t.Errorf("it says %s", p)
		})
	}
}

// Members that are cut off go on with their parts while the others have the whole limit.
func TestSomeMembersAreCutOff(t *testing.T) {
	for _, k := range kindsHere() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			problem := "never tried"
			for tries := 0; tries < 5 && problem != ""; tries++ { // others use the machine too
				if problem = someAreCutOff(t, k); problem != "" {
					t.Log(problem)
				}
			}
			if problem != "" {
				t.Error(problem)
			}
		})
	}
}

func someAreCutOff(t *testing.T, k kind) (problem string) {
	r, cut := newRig(t, false)
	var to, far callee
	ctx, cancel := context.WithCancel(bg)
	var wg sync.WaitGroup
	for range 3 {
		to.greedy(ctx, &wg, 3, k.shared(r.admin, name))
	}
	p := k.shared(cut, name)
	far.greedy(ctx, &wg, 3, p)
	defer wg.Wait()
	defer cancel()
	to.during(2 * time.Second)
	r.port.hold(true)
	begin, before := time.Now(), far.calls.Load()
	n, alone := to.during(2*time.Second), far.calls.Load()-before
	took := time.Since(begin).Seconds()
	if most := 200*took*1.1 + 60; float64(n) > most || n < 100 {
		problem = fmt.Sprintf("%d calls of those that reach the server in %.1f s, at 200 a second",
			n, took)
	}
	if most := 50*took*1.3 + 30; float64(alone) > most || alone < 25 {
		problem += fmt.Sprintf(" %d calls of the one that does not in %.1f s, with a quarter; "+
			"it says %s", alone, took, p)
	}
	r.port.hold(false)
	for range 20 {
		to.during(span)
		if !strings.Contains(p.String(), "away") {
			return problem
		}
	}
	return problem + fmt.Sprintf(" it says %s", p)
}

func TestNames(t *testing.T) {
	both(t, func(t *testing.T, c *redis.Client) {
		for _, n := range []string{"", "a}b", "}", "{", "{}", "\x00\xff\r\n",
			strings.Repeat("x", 10_000), "ж {reprise:y}:b"} {
			a := ratelimit.Ask{Member: "m\x00}", Limit: 10, Burst: 5, Lease: time.Second, Need: 2}
			g, err := redislimit.New(c).Take(bg, n, a)
			if err != nil || g.Tokens != 2 {
				t.Errorf("%.20q: %+v, %v", n, g, err)
			}
			for _, key := range redislimit.Keys(n) {
				if tag := strings.SplitN(key[1:], "}", 2)[0]; tag == "" ||
					!strings.HasPrefix(key, "{") {
					t.Errorf("%.20q: no hash tag in %.20q", n, key)
				}
				if ttl := c.PTTL(bg, key).Val(); ttl < 23*time.Hour || ttl > 24*time.Hour {
					t.Errorf("%.20q: %.20q expires in %v", n, key, ttl)
				}
			}
		}
	})
}

// The server forgets the script, and what is in the bucket is not what the script left there.
func TestForeignState(t *testing.T) {
	both(t, func(t *testing.T, c *redis.Client) {
		s := redislimit.New(c)
		a := ratelimit.Ask{Member: "m", Limit: 10, Burst: 5, Lease: time.Second, Need: 2}
		for _, fields := range [][]any{
			{"tat", "abc", "last", "nan", "rate", "-inf"},
			{"tat", "1e300", "last", "-1e300", "burst", "0"},
			{"tat", "nan", "pause", "inf", "rate", "nan", "burst", "nan", "set", "x"},
			{"rate", "0.0000000001", "burst", "5", "tat", "0"},
			{"rate", "10", "burst", "5", "tat", "-0", "last", "0", "until", "", "lead", ""},
		} {
			flush(t, c)
			c.ScriptFlush(bg)
			if err := c.HSet(bg, hash, fields...).Err(); err != nil {
				t.Fatal(err)
			}
			g, err := s.Take(bg, name, a)
			if err != nil || g.Tokens < 0 || g.Tokens > 5 || g.First < 0 {
				t.Errorf("%v: %+v, %v", fields, g, err)
			}
		}
	})
}

func TestNilClient(t *testing.T) {
	l := ratelimit.New(10, 5, ratelimit.Shared(redislimit.New(nil), name))
	err := retry.Run(bg, l, nop)
	var r *retry.Rejection
	if !errors.As(err, &r) || !errors.Is(r.Cause, retry.ErrConfig) {
		t.Errorf("got %v", err)
	}
}

// port leads to a server, and can be cut, held and slowed.
type port struct {
	l    net.Listener
	slow atomic.Int64 // ns before what the server says goes on

	mu    sync.Mutex
	off   bool
	held  chan struct{} // closed when it is not held
	conns map[net.Conn]bool
}

func newPort(t *testing.T, target string) *port {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &port{l: l, held: make(chan struct{}), conns: map[net.Conn]bool{}}
	close(p.held)
	t.Cleanup(func() { p.hold(false); l.Close(); p.cut(true) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go p.join(c, target)
		}
	}()
	return p
}

func (p *port) addr() string { return p.l.Addr().String() }

func (p *port) join(c net.Conn, target string) {
	defer c.Close()
	s, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer s.Close()
	p.mu.Lock()
	if p.off {
		p.mu.Unlock()
		return
	}
	p.conns[c], p.conns[s] = true, true
	p.mu.Unlock()
	go func() { p.pipe(s, c); s.Close() }()
	p.pipe(c, s)
}

func (p *port) pipe(to io.Writer, from io.Reader) {
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		p.mu.Lock()
		held := p.held
		p.mu.Unlock()
		<-held
		time.Sleep(time.Duration(p.slow.Load()) / 2)
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}

// cut refuses connections and ends those there are.
func (p *port) cut(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.off = yes
	for c := range p.conns {
		c.Close()
	}
	clear(p.conns)
}

// hold lets nothing through, without a word.
func (p *port) hold(yes bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.held:
		if yes {
			p.held = make(chan struct{})
		}
	default:
		if !yes {
			close(p.held)
		}
	}
}
