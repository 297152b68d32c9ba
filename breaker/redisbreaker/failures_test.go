package redisbreaker_test

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/reprise-go/reprise/breaker"
	"github.com/reprise-go/reprise/breaker/redisbreaker"
	"github.com/reprise-go/reprise/retry"
)

// proxy is the network between a member and the server.
type proxy struct {
	net.Listener
	to    string
	mu    sync.Mutex
	cut   bool // connections are closed and refused
	slow  time.Duration
	hold  bool // nothing passes
	conns []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: to}
	t.Cleanup(func() { l.Close(); p.set(true, false) })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s, err := net.Dial("tcp", to)
			if err != nil {
				c.Close()
				continue
			}
			p.mu.Lock()
			p.conns = append(p.conns, c, s)
			if p.cut {
				c.Close()
				s.Close()
			}
			p.mu.Unlock()
			go p.pass(s, c)
			go p.pass(c, s)
		}
	}()
	return p
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		for p.holds() {
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(p.delay())
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (p *proxy) holds() bool { p.mu.Lock(); defer p.mu.Unlock(); return p.hold }

func (p *proxy) delay() time.Duration { p.mu.Lock(); defer p.mu.Unlock(); return p.slow }

func (p *proxy) slower(d time.Duration) { p.mu.Lock(); defer p.mu.Unlock(); p.slow = d }

func (p *proxy) set(cut, hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut, p.hold = cut, hold
	for _, c := range p.conns {
		if cut {
			c.Close()
		}
	}
}

var errDown = errors.New("503")

// node is a member with traffic.
type node struct {
	*breaker.Breaker
	mu     sync.Mutex
	err    error
	slow   int // calls that took longer than a second
	events []string
	calls  int // that reached the callee
}

func newNode(t *testing.T, c *redis.Client) *node {
	n := &node{Breaker: breaker.New("catalog", breaker.OpenFor(300*time.Millisecond),
		breaker.Shared(redisbreaker.New(c), breaker.Every(20*time.Millisecond)))}
	watched := retry.Chain(retry.Observe(func(_ context.Context, e retry.Event) {
		if e.Kind == retry.KindChange && (e.From == "shared" || e.To == "shared") {
			n.mu.Lock()
			n.events = append(n.events, e.To+": "+errText(e.Err))
			n.mu.Unlock()
		}
	}), n.Breaker)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			_ = retry.Run(context.Background(), watched, func(context.Context) error {
				n.mu.Lock()
				defer n.mu.Unlock()
				n.calls++
				return n.err
			})
			n.mu.Lock()
			if time.Since(began) > time.Second {
				n.slow++
			}
			n.mu.Unlock()
			time.Sleep(2 * time.Millisecond)
		}
	})
	t.Cleanup(func() { stop(); all.Wait() })
	return n
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func (n *node) set(err error) { n.mu.Lock(); defer n.mu.Unlock(); n.err = err }
func (n *node) away() bool    { return strings.Contains(n.String(), "the store is away") }

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("not in a minute: %s", what)
		}
	}
}

// goesOnAlone is the promise: while broken the member's own breaker works and no call hangs, one
// event says why, and once mended the member is part of the fleet again.
func goesOnAlone(t *testing.T, c *redis.Client, reason string, broken, mended func()) {
	t.Helper()
	n := newNode(t, c)
	eventually(t, "part of the fleet", func() bool {
		return strings.Contains(n.String(), "0 of 1 members voted")
	})
	broken()
	eventually(t, "the store is away", n.away)
	n.set(errDown)
	eventually(t, "its own breaker opens", func() bool { return n.State() == breaker.Open })
	n.set(nil)
	eventually(t, "its own breaker closes", func() bool { return n.State() == breaker.Closed })
	mended()
	eventually(t, "part of the fleet again", func() bool { return !n.away() })
	other := newNode(t, c)
	eventually(t, "the other one is there", func() bool {
		return strings.Contains(other.String(), "of 2 members")
	})
	other.Isolate()
	eventually(t, "isolated by the other one", func() bool { return n.State() == breaker.Isolated })
	n.mu.Lock()
	defer n.mu.Unlock()
	// Five failures open its own breaker, so calls that hang are more; a machine that stalls delays
	// one at a time.
	if n.slow > 4 {
		t.Errorf("%d calls took longer than a second", n.slow)
	}
	if len(n.events) == 0 || !strings.HasPrefix(n.events[0], "alone: ") {
		t.Fatalf("%q: no event says that it is alone", n.events)
	}
	// A stall of the machine is told first, and is not a fault.
	if first := n.events[0]; !strings.Contains(first, reason) &&
		!strings.Contains(first, "has not answered within") {
		t.Errorf("%q does not say %q", n.events, reason)
	}
}

func TestServerThatFailsLeavesTheMembersAlone(t *testing.T) {
	t.Run("miniredis", func(t *testing.T) {
		for _, text := range []string{
			"OOM command not allowed when used memory > 'maxmemory'.",
			"READONLY You can't write against a read only replica.",
			"NOAUTH Authentication required.",
			"BUSY Redis is busy running a script.",
			"LOADING Redis is loading the dataset in memory",
			"ERR Error running script: Script killed by user with SCRIPT KILL",
		} {
			word, rest, _ := strings.Cut(text, " ")
			if word == "ERR" {
				word = rest
			}
			t.Run(word, func(t *testing.T) {
				t.Parallel()
				m := miniredis.RunT(t)
				goesOnAlone(t, plain(t, m.Addr()), word, func() { m.SetError(text) },
					func() { m.SetError("") })
			})
		}
		t.Run("killed and back, empty", func(t *testing.T) {
			t.Parallel()
			m := miniredis.RunT(t)
			goesOnAlone(t, client(t, m.Addr()), "", m.Close, func() {
				m.FlushAll()
				if err := m.Restart(); err != nil {
					t.Error(err)
				}
			})
		})
		t.Run("cut off", func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, miniredis.RunT(t).Addr())
			goesOnAlone(t, client(t, p.Addr().String()), "", func() { p.set(true, false) },
				func() { p.set(false, false) })
		})
		t.Run("slow", func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, miniredis.RunT(t).Addr())
			goesOnAlone(t, plain(t, p.Addr().String()), "has not answered within 1s",
				func() { p.slower(700 * time.Millisecond) }, func() { p.slower(0) })
		})
		t.Run("silent", func(t *testing.T) {
			t.Parallel()
			p := newProxy(t, miniredis.RunT(t).Addr())
			goesOnAlone(t, plain(t, p.Addr().String()), "", func() { p.set(false, true) },
				func() { p.set(false, false) })
		})
	})
	t.Run("redis-server", func(t *testing.T) {
		config := func(t *testing.T, c *redis.Client, name, value string) {
			if err := c.ConfigSet(bg, name, value).Err(); err != nil {
				t.Error(err)
			}
		}
		t.Run("OOM", func(t *testing.T) {
			t.Parallel()
			c := plain(t, start(t).addr)
			goesOnAlone(t, c, "OOM", func() { config(t, c, "maxmemory", "1") },
				func() { config(t, c, "maxmemory", "0") })
		})
		t.Run("read-only replica", func(t *testing.T) {
			t.Parallel()
			c := plain(t, start(t).addr)
			goesOnAlone(t, c, "READONLY", func() { c.SlaveOf(bg, "127.0.0.1", "1") },
				func() { c.SlaveOf(bg, "NO", "ONE") })
		})
		t.Run("AUTH", func(t *testing.T) {
			t.Parallel()
			s := start(t)
			admin := redis.NewClient(&redis.Options{Addr: s.addr})
			t.Cleanup(func() { admin.Close() })
			goesOnAlone(t, plain(t, s.addr), "unauthenticated", func() {
				config(t, admin, "requirepass", "secret")
				admin.Do(bg, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			}, func() {
				authed := redis.NewClient(&redis.Options{Addr: s.addr, Password: "secret"})
				defer authed.Close()
				config(t, authed, "requirepass", "")
			})
		})
		t.Run("a script that is killed", func(t *testing.T) {
			t.Parallel()
			s := start(t, "--busy-reply-threshold", "50")
			c := client(t, s.addr)
			busy := redis.NewClient(&redis.Options{Addr: s.addr, ReadTimeout: -1, MaxRetries: -1})
			t.Cleanup(func() { busy.Close() })
			goesOnAlone(t, c, "", func() {
				go busy.Eval(bg, "while true do end", nil)
				time.Sleep(100 * time.Millisecond)
			}, func() {
				if err := client(t, s.addr).ScriptKill(bg).Err(); err != nil {
					t.Error(err)
				}
			})
		})
		t.Run("killed and back, empty", func(t *testing.T) {
			t.Parallel()
			s := start(t)
			goesOnAlone(t, plain(t, s.addr), "", s.kill, func() {
				if !s.run(t) {
					t.Error("redis-server does not answer")
				}
			})
		})
		t.Run("wrong type", func(t *testing.T) {
			t.Parallel()
			c := client(t, start(t).addr)
			key := redisbreaker.Keys("catalog")[0]
			goesOnAlone(t, c, "WRONGTYPE", func() { c.Del(bg, key); c.LPush(bg, key, "x") },
				func() { c.Del(bg, key) })
		})
		t.Run("silent", func(t *testing.T) {
			t.Parallel()
			s := start(t)
			tell := func(what os.Signal) {
				if err := s.cmd.Process.Signal(what); err != nil {
					t.Error(err)
				}
			}
			goesOnAlone(t, plain(t, s.addr), "", func() { tell(syscall.SIGSTOP) },
				func() { tell(syscall.SIGCONT) })
		})
	})
}

func TestServerThatIsNotThereAtTheStart(t *testing.T) {
	addr := free(t)
	n := newNode(t, plain(t, addr))
	eventually(t, "the store is away", n.away)
	n.set(errDown)
	eventually(t, "its own breaker opens", func() bool { return n.State() == breaker.Open })
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(addr); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	eventually(t, "part of the fleet", func() bool { return !n.away() })
}

func TestPartitionOfSomeMembersConcernsNoOthers(t *testing.T) {
	both(t, func(t *testing.T, c *redis.Client) {
		p := newProxy(t, c.Options().Addr)
		cut := []*node{newNode(t, client(t, p.Addr().String())),
			newNode(t, client(t, p.Addr().String()))}
		rest := []*node{newNode(t, c), newNode(t, c), newNode(t, c)}
		eventually(t, "five members", func() bool {
			return strings.Contains(rest[0].String(), "of 5 members")
		})
		p.set(true, false)
		eventually(t, "the store is away", func() bool { return cut[0].away() && cut[1].away() })
		rest[0].Isolate()
		eventually(t, "the rest are isolated", func() bool {
			return rest[1].State() == breaker.Isolated && rest[2].State() == breaker.Isolated
		})
		if cut[0].State() != breaker.Closed || cut[1].State() != breaker.Closed {
			t.Error("the members that are cut off hear what they cannot")
		}
		p.set(false, false)
		eventually(t, "all are isolated", func() bool {
			return cut[0].State() == breaker.Isolated && cut[1].State() == breaker.Isolated
		})
	})
}
