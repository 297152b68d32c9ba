package redisbreaker_test

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

// client is a client with the options that doc.go recommends.
func client(t testing.TB, addr string) *redis.Client {
	c := redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, ContextTimeoutEnabled: true})
	t.Cleanup(func() { c.Close() })
	return c
}

// plain is a client with go-redis' own options.
func plain(t testing.TB, addr string) *redis.Client {
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
		s := &server{addr: free(t)}
		if s.run(t, args...) {
			return s
		}
	}
	t.Fatal("redis-server does not answer")
	return nil
}

// free is an address that nobody listens on.
func free(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
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
	t.Cleanup(s.kill)
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

func (s *server) kill() {
	if s.cmd != nil {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
		s.cmd = nil
	}
}

// both runs the test on miniredis and on a real server.
func both(t *testing.T, test func(t *testing.T, c *redis.Client)) {
	t.Run("miniredis", func(t *testing.T) { test(t, client(t, miniredis.RunT(t).Addr())) })
	t.Run("redis-server", func(t *testing.T) { test(t, client(t, start(t).addr)) })
}

var bg = context.Background()
