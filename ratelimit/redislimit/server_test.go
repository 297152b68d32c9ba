package redislimit_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
)

// fake is a miniredis of the test's own, and a client of it.
func fake(t testing.TB) (*miniredis.Miniredis, *redis.Client) {
	t.Helper()
	m := miniredis.RunT(t)
	return m, client(t, m.Addr())
}

func client(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr})
	t.Cleanup(func() { c.Close() })
	return c
}

// server is a redis-server of the test's own on a loopback port.
type server struct {
	addr string
	cmd  *exec.Cmd
}

// start starts a redis-server, or skips the test if there is none.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Skip("skipped: there is no redis-server on PATH, so only miniredis was asked")
	}
	for range 5 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := &server{addr: l.Addr().String()}
		l.Close()
		if s.run(t, args...) {
			return s
		}
	}
	t.Fatal("redis-server does not answer")
	return nil
}

// run runs the process and reports whether it answers: another may have been given its port before.
func (s *server) run(t testing.TB, args ...string) bool {
	t.Helper()
	_, port, _ := net.SplitHostPort(s.addr)
	all := append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly",
		"no", "--dir", t.TempDir()}, args...)
	s.cmd = exec.Command("redis-server", all...)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	c := redis.NewClient(&redis.Options{Addr: s.addr})
	defer c.Close()
	own := fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid)
	for began := time.Now(); time.Since(began) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		if info := c.Info(bg, "server").Val(); info != "" {
			return strings.Contains(info, own)
		}
	}
	return false
}

// both runs the test on miniredis and on a real server.
func both(t *testing.T, test func(t *testing.T, c *redis.Client)) {
	t.Run("miniredis", func(t *testing.T) {
		_, c := fake(t)
		test(t, c)
	})
	t.Run("redis-server", func(t *testing.T) { test(t, client(t, start(t).addr)) })
}

var bg = context.Background()

func flush(t testing.TB, c *redis.Client) {
	if err := c.FlushAll(bg).Err(); err != nil {
		t.Fatal(fmt.Errorf("FLUSHALL: %w", err))
	}
}
