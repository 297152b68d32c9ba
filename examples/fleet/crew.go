package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"time"
)

// startUp is how long processes take to start.
const startUp = 300 * time.Millisecond

// crew is the set of workers while they run.
type crew struct {
	config
	site   *site
	stderr io.Writer
	until  time.Time
	began  time.Time

	mu      sync.Mutex
	workers []*worker
	trips   int // of killed workers
	killed  int
	readers sync.WaitGroup
}

// worker is a process, and the state that it reported last.
type worker struct {
	cmd  *exec.Cmd
	told state
}

func (c *crew) run(ctx context.Context, s *screen) error {
	c.began = time.Now().Add(startUp)
	c.until = c.began.Add(c.took)
	c.workers = make([]*worker, c.members)
	defer c.stop()
	for i := range c.workers {
		if err := c.start(i); err != nil {
			return err
		}
	}
	show, kill := time.NewTicker(500*time.Millisecond), time.NewTicker(time.Second)
	defer show.Stop()
	defer kill.Stop()
	for next := 0; time.Now().Before(c.until); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Until(c.until)):
		case <-show.C:
			s.draw(c)
		case <-kill.C:
			if !c.config.kill {
				continue
			}
			next = (next + 1) % c.members
			if err := c.replace(next); err != nil {
				return err
			}
		}
	}
	s.draw(c)
	return nil
}

// start starts worker i.
func (c *crew) start(i int) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(self, workerArg, "-id", strconv.Itoa(i+1), "-name",
		fmt.Sprintf("fleet-%d", os.Getpid()),
		"-site", c.site.url, "-redis", c.redis, "-callers", strconv.Itoa(c.callers),
		"-limit", strconv.FormatFloat(c.limit, 'f', -1, 64), "-burst", strconv.Itoa(c.burst),
		"-until", strconv.FormatInt(c.until.UnixNano(), 10))
	cmd.Stderr = c.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting a worker: %w", err)
	}
	w := &worker{cmd: cmd}
	c.mu.Lock()
	c.workers[i] = w
	c.mu.Unlock()
	c.readers.Go(func() {
		for d := json.NewDecoder(out); ; {
			var s state
			if d.Decode(&s) != nil {
				return
			}
			c.mu.Lock()
			w.told = s
			c.mu.Unlock()
		}
	})
	return nil
}

// replace kills worker i, which cannot clean up, and starts another.
func (c *crew) replace(i int) error {
	c.mu.Lock()
	w := c.workers[i]
	c.trips += w.told.Trips
	c.killed++
	c.mu.Unlock()
	_ = w.cmd.Process.Kill() // it may have ended by itself
	_ = w.cmd.Wait()
	return c.start(i)
}

// stop waits until the workers end, and kills those that are 3 s late.
func (c *crew) stop() {
	late := time.AfterFunc(max(0, time.Until(c.until))+3*time.Second, func() {
		for _, w := range c.workers {
			if w != nil {
				_ = w.cmd.Process.Kill()
			}
		}
	})
	defer late.Stop()
	if time.Now().Before(c.until) { // interrupted
		late.Reset(0)
	}
	c.readers.Wait()
	for _, w := range c.workers {
		if w != nil {
			_ = w.cmd.Wait()
		}
	}
}

// inTurn is a writer that several workers may use at once.
type inTurn struct {
	mu sync.Mutex
	w  io.Writer
}

func (t *inTurn) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.w.Write(p)
}
