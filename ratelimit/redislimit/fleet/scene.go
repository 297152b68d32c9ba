package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// scene is one row while it runs: a server and the members that use it.
type scene struct {
	row
	server   *server
	front    *front // what the members connect to
	begin    time.Time
	members  []*exec.Cmd
	starting sync.WaitGroup // members that cannot begin yet
	readers  sync.WaitGroup

	mu    sync.Mutex
	times []int64 // of all calls, in ns
	calls []int   // by member
	trips []int   // by process
}

// measured is the outcome of a row.
type measured struct {
	use, needed, trips float64
	low, high          int
	late               time.Duration // how late one in a hundred timers of this machine was
}

func (r row) measure(ctx context.Context, real bool) (measured, error) {
	s := &scene{row: r, calls: make([]int, len(r.members)),
		members: make([]*exec.Cmd, len(r.members))}
	addr, done, err := s.serve(real)
	if err != nil {
		return measured{}, err
	}
	defer done()
	if s.front, err = newFront(addr); err != nil {
		return measured{}, err
	}
	defer s.front.close()

	if err := s.start(); err != nil {
		return measured{}, err
	}
	acting, over := context.WithDeadline(ctx, s.begin.Add(s.took))
	defer over()
	late := make(chan time.Duration, 1)
	go func() { late <- lateness(acting) }()
	if r.event != nil {
		pause(ctx, time.Until(s.begin))
		err = r.event(acting, s)
	}
	<-acting.Done()
	s.mu.Lock()
	members := slices.Clone(s.members)
	s.mu.Unlock()
	for _, m := range members {
		_ = m.Wait() // an error if it was killed
	}
	s.readers.Wait()
	if err == nil {
		err = ctx.Err()
	}
	m := s.sum()
	m.late = <-late
	return m, err
}

// lateness is by how much one in a hundred timers is late. On a busy machine they are, and a token
// that no process spends within a lease is lost.
func lateness(ctx context.Context) time.Duration {
	const short = 5 * time.Millisecond
	var all []time.Duration
	for begin := time.Now(); pause(ctx, short); begin = time.Now() {
		all = append(all, time.Since(begin)-short)
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)*99/100].Round(100 * time.Microsecond)
}

// serve starts the store.
func (s *scene) serve(real bool) (addr string, done func(), err error) {
	if !real {
		m, err := miniredis.Run()
		if err != nil {
			return "", nil, err
		}
		return m.Addr(), m.Close, nil
	}
	if s.server, err = startServer(); err != nil {
		return "", nil, err
	}
	return s.server.addr, s.server.kill, nil
}

// start starts the members, and has them begin together once all are there: a busy machine may take
// a second to start a process.
func (s *scene) start() error {
	begins := make([]func(), len(s.members))
	for i := range s.members {
		var err error
		if begins[i], err = s.startMember(i); err != nil {
			return err
		}
	}
	s.starting.Wait()
	s.begin = time.Now().Add(50 * time.Millisecond)
	for _, begin := range begins {
		begin()
	}
	return nil
}

// startMember starts the process of a member, which reports each call at once. begin tells it when
// it may call, once s.begin is known.
func (s *scene) startMember(i int) (begin func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{
		workerArg, "-addr", s.front.addr(), "-callers", strconv.Itoa(s.row.members[i]),
		"-took", s.took.String(),
	}, s.options...)
	cmd := exec.Command(self, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	cmd.Stdout = w
	err = cmd.Start()
	w.Close()
	if err != nil {
		out.Close()
		return nil, err
	}
	s.mu.Lock()
	s.members[i] = cmd
	s.trips = append(s.trips, 0)
	process := len(s.trips) - 1
	s.mu.Unlock()
	s.starting.Add(1)
	s.readers.Go(func() { s.read(out, i, process) })
	return func() {
		_ = binary.Write(in, binary.LittleEndian, s.begin.UnixNano()) // an error if it was killed
		in.Close()
	}, nil
}

// read collects what a member reports: that it can begin, then the times of its calls, and now and
// then, as a negative number, how many requests it has sent to the store (see teller.trips).
func (s *scene) read(out io.ReadCloser, member, process int) {
	defer out.Close()
	started := sync.OnceFunc(s.starting.Done)
	defer started()
	r := bufio.NewReader(out)
	var b [8]byte
	for {
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return
		}
		x := int64(binary.LittleEndian.Uint64(b[:]))
		started()
		s.mu.Lock()
		if x < 0 {
			s.trips[process] = int(-1 - x)
		} else {
			s.times = append(s.times, x)
			s.calls[member]++
		}
		s.mu.Unlock()
	}
}

// restart kills a member and starts another in its place.
func (s *scene) restart(i int) error {
	s.mu.Lock()
	cmd := s.members[i]
	s.mu.Unlock()
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	_ = cmd.Wait()
	begin, err := s.startMember(i)
	if err == nil {
		begin()
	}
	return err
}

func (s *scene) sum() (m measured) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m.needed = needed(s.times)
	m.use = float64(len(s.times)) / (limit * (s.took - 2*lease).Seconds())
	trips := 0
	for _, n := range s.trips {
		trips += n
	}
	m.trips = float64(trips) / float64(max(1, len(s.times)))
	m.low, m.high = slices.Min(s.calls), slices.Max(s.calls)
	return m
}

// needed is the smallest burst with which a bucket would have admitted calls at these times.
func needed(times []int64) float64 {
	slices.Sort(times)
	level, most := 0.0, 0.0
	for i, at := range times {
		if i > 0 {
			level = max(0, level-float64(at-times[i-1])/1e9*limit)
		}
		level++
		most = max(most, level)
	}
	return most
}

const aboveBound = "ABOVE THE BOUND"

// verdict tells what is not as promised; empty if all is.
func (m measured) verdict(r row) string {
	n := float64(len(r.members))
	mean := m.use * limit * (r.took - 2*lease).Seconds() / n
	off := 0.2 * mean
	if r.took < long { // a quantum more or less at either end is not a small part of the time
		off += 2 * limit * lease.Seconds() / n
	}
	switch {
	case r.rival:
		return ""
	case m.needed > r.bound:
		return aboveBound
	case !r.gates:
		return ""
	case m.use < 0.95:
		return fmt.Sprintf("too little use; of 100 timers one was %v late", m.late)
	case m.trips > 2*n/(limit*lease.Seconds()):
		return "too many trips"
	case float64(m.low) < mean-off || float64(m.high) > mean+off:
		return "unequal parts"
	}
	return ""
}

func (m measured) shares(r row) string {
	if r.event != nil {
		return ""
	}
	return fmt.Sprintf("%d to %d", m.low, m.high)
}
