package main

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// server is a redis-server process on a loopback port.
type server struct {
	addr string
	args []string
	dir  string
	cmd  *exec.Cmd
}

func haveServer() bool {
	_, err := exec.LookPath("redis-server")
	return err == nil
}

func startServer(args ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{addr: l.Addr().String(), args: args}
	l.Close()
	if s.dir, err = os.MkdirTemp("", "fleet"); err != nil {
		return nil, err
	}
	return s, s.start()
}

func (s *server) port() string {
	_, port, _ := net.SplitHostPort(s.addr)
	return port
}

// start runs the process, and waits until it accepts connections.
func (s *server) start() error {
	s.cmd = exec.Command("redis-server", append([]string{
		"--port", s.port(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir",
		s.dir, "--repl-diskless-sync-delay", "0",
	}, s.args...)...)
	s.cmd.Stderr = os.Stderr
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for range 500 {
		if c, err := net.Dial("tcp", s.addr); err == nil {
			return c.Close()
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.kill()
	return errors.New("redis-server does not answer")
}

func (s *server) stop() error { return s.cmd.Process.Signal(syscall.SIGSTOP) }
func (s *server) cont() error { return s.cmd.Process.Signal(syscall.SIGCONT) }

func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	os.RemoveAll(s.dir)
	_ = os.Mkdir(s.dir, 0o700) // if it fails the next start does too
}

// front is a port that forwards to a server which may change, as a service's name does.
type front struct {
	l net.Listener

	mu     sync.Mutex
	target string
	conns  map[net.Conn]bool
}

func newFront(target string) (*front, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	f := &front{l: l, target: target, conns: map[net.Conn]bool{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go f.join(c)
		}
	}()
	return f, nil
}

func (f *front) addr() string { return f.l.Addr().String() }

// to forwards to another server, and ends all connections to the one before.
func (f *front) to(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.target = target
	for c := range f.conns {
		c.Close()
	}
}

func (f *front) close() {
	f.l.Close()
	f.to("")
}

func (f *front) join(c net.Conn) {
	defer c.Close()
	f.mu.Lock()
	target := f.target
	f.mu.Unlock()
	var d net.Dialer
	s, err := d.DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer s.Close()
	f.keep(c)
	defer f.drop(c)
	go func() {
		_, _ = io.Copy(s, c)
		s.Close()
	}()
	_, _ = io.Copy(c, s)
}

func (f *front) keep(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns[c] = true
}

func (f *front) drop(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.conns, c)
}
